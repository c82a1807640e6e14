/** A line feed in a name of a file would end the line of a message, and let what follows speak in its place. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zeros } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from './data/index.js';
import { chooseFile } from './hub/choose-file.js';
import { checkTensors } from './models/file-checks.js';
import { importStateDict } from './models/import/model.js';
import { createModel, createModelFromConfig } from './models/registry.js';
import { toyDataset } from './training/testing/toy.js';
import { modelInfoOf, withModelInfo } from './workflows/fit.js';

const nasty = 'cat\nmamba-prune: all is well';
const shown = String.raw`cat\nmamba-prune: all is well`;
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'mamba-prune-names-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const model = createModel('mamba_nano', {
  dModel: 8,
  depth: 1,
  imageSize: 6,
  patchSize: 3,
  channels: 1,
  numClasses: 3,
});
const dataset = toyDataset();
const info = modelInfoOf(dataset.info, []);

function folder(name: string, ...paths: string[]): string {
  for (const path of paths) mkdirSync(join(dir, name, path), { recursive: true });
  return join(dir, name);
}

function withImage(name: string): string {
  const path = folder(name, 'train/a', 'train/b', 'val/a');
  for (const one of ['train/a', 'train/b', 'val/a']) {
    writeFileSync(join(path, one, `${nasty}.png`), 'no image');
  }
  return path;
}

function withAnnotations(name: string, line: string): string {
  const path = withImage(name);
  // Class folders would count in place of the list.
  rmSync(join(path, 'val', 'a'), { recursive: true });
  writeFileSync(join(path, 'val', 'val_annotations.txt'), line);
  return path;
}

const open = (path: string) => openDataset('folder', { dir: path, cacheDir: join(dir, 'cache') });

const cases: Record<string, () => unknown> = {
  'a class of a model': () => withModelInfo(dataset, { ...info, classes: [nasty] }),
  'a class of a data set': () =>
    withModelInfo({ ...dataset, info: { ...dataset.info, classes: [nasty, 'b', 'c'] } }, info),
  'a tensor that is not expected': () => {
    checkTensors(model.config, new Map([[nasty, { dtype: 'float32', shape: [1] }]]));
  },
  'a tensor of no known model': () => importStateDict(new Map([[nasty, zeros([1])]])),
  'a tensor of a state dict': () => model.loadStateDict(new Map([[nasty, zeros([1])]])),
  'a family': () => createModelFromConfig({ family: nasty }),
  'an architecture': () => createModel(nasty),
  'a class folder without images': () => open(folder('empty', `train/${nasty}`, 'train/z')),
  'a class folder that train does not have': () => {
    const path = withImage('foreign');
    mkdirSync(join(path, 'val', nasty));
    return open(path);
  },
  'an image that cannot be read': () => open(withImage('unreadable')),
  'a file on the hub': () =>
    chooseFile({ repo: 'lab/vim', revision: 'main' }, [`${nasty}.bin.txt`]),
};

describe('a line feed is shown, and not obeyed, in the name of', () => {
  it.each(Object.entries(cases))('%s', async (_, call) => {
    const error = await Promise.resolve()
      .then(call)
      .then(
        () => undefined,
        (thrown: unknown) => thrown as Error,
      );
    expect(error?.message).toContain(shown);
    expect(error?.message).not.toContain('\n');
  });

  it('an image in a list of annotations', async () => {
    // Tabs and line feeds divide such a list; other ends of a line do not.
    const line = 'x\u2028mamba-prune: all is well\ta\t0';
    await expect(open(withAnnotations('list', line))).rejects.toThrow(
      String.raw`got "x\u2028mamba-prune: all is well", expected an image name`,
    );
  });
});
