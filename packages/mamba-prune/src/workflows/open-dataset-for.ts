// The images of a model as it is shown them: of its size, prepared and normalised as its file says.
import type { Dataset, OpenDatasetOptions } from '../data/types.js';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { requireModel } from '../models/require-model.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { dataFor, openDataFor, withModelInfo } from './fit.js';

export type OpenDatasetForOptions = Pick<
  OpenDatasetOptions,
  'dir' | 'cachedSize' | 'onNote' | 'onProgress'
>;

const kinds: OptionKinds<OpenDatasetForOptions> = {
  dir: 'string',
  cachedSize: 'number',
  onNote: 'function',
  onProgress: 'function',
};

/**
 * Opens a data set for a model: images of the model's size, prepared and normalised as its file says, so that `evaluateModel`
 * and `calibrationOf` see what the model was trained on. `openDataset` knows no model and prepares images as a new training
 * would.
 *
 * @param opened - what `openModel`, `importModel` or `loadModel` gave
 * @param name - of the data set. By default the one that the model was trained on, in the folder that it remembers
 * @throws UsageError if the images or the names of their classes are not those of the model, or nothing says which data set
 *   is meant; DataError as `openDataset`
 */
export async function openDatasetFor(
  { model, info }: { readonly model: ImageModel; readonly info: ModelInfo },
  name?: string,
  options: OpenDatasetForOptions = {},
): Promise<Dataset> {
  requireModel('openDatasetFor', model);
  checkOptions('openDatasetFor', options, kinds);
  const { dir, cachedSize, onNote, onProgress } = options;
  const settings = dataFor(info, { dataset: name, data: dir });
  if (settings === undefined) {
    throw new UsageError(
      'openDatasetFor: got no name of a data set, and the model does not say what it was trained on. Give the name.',
    );
  }
  const dataset = await openDataFor(model, { ...settings, cachedSize }, { onNote, onProgress });
  return withModelInfo(dataset, info);
}
