// Images of one's own, in a folder for each class.
import type { BuiltInDataset } from '../definition.js';
import type { FolderSpec } from '../image-folder.js';
import { ownImages } from './recipes.js';

export const folderSpec: FolderSpec = { name: 'folder', imageSize: 224, saysWhatIsNotRead: true };

export const folder: BuiltInDataset = {
  name: folderSpec.name,
  description: 'your own train/class/* and val/class/*',
  anySize: true,
  recipe: ownImages,
  open: async (options) =>
    (await import('../image-folder.js')).openImageFolder(folderSpec, options),
  verify: async (options) =>
    (await import('../image-folder.js')).verifyImageFolder(folderSpec, options),
};
