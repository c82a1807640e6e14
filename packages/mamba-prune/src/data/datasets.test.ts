import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { datasetDefinitions, datasetNames, openDataset, verifyDataset } from './datasets.js';
import { checkDefinition } from './definition-checks.js';
import { DataError, errnoOf, reasonOf } from './errors.js';
import { channelStatistics, countLabels, MemorySplit } from './memory-split.js';

describe('openDataset and verifyDataset', () => {
  it('know seven data sets', () => {
    expect(datasetNames()).toEqual([
      'fashion-mnist',
      'mnist',
      'cifar10',
      'cifar100',
      'tiny-imagenet',
      'imagenet',
      'folder',
    ]);
  });

  it('describe each as one that is registered must be', () => {
    for (const definition of datasetDefinitions()) {
      expect(() => {
        checkDefinition(definition);
      }).not.toThrow();
    }
    expect(() => {
      checkDefinition({ ...datasetDefinitions()[0], name: 'No' } as never);
    }).toThrow('got the name "No"');
  });

  it('cut off nothing of pictures that have the size of the model', () => {
    const cut = datasetNames().filter((name) => defaultPreprocessing(name).cropShare !== 1);
    expect(cut).toEqual(['imagenet', 'folder']);
  });

  it('list the names and guess what an unknown one meant', async () => {
    await expect(openDataset('CIFAR-10')).rejects.toThrow(
      'openDataset: got data set "CIFAR-10", expected one of: fashion-mnist, mnist, cifar10, ' +
        'cifar100, tiny-imagenet, imagenet, folder. Did you mean "cifar10" or "cifar100"?',
    );
    await expect(verifyDataset('toString')).rejects.toThrow(
      /^verifyDataset: got data set "toString".*folder\. If it is registered by a module, import that first \(`loadPlugin`\)\.$/,
    );
  });

  it('ask for the folder of those that need one', async () => {
    for (const name of datasetNames().filter((n) => n !== 'fashion-mnist')) {
      await expect(openDataset(name)).rejects.toThrow(DataError);
      await expect(openDataset(name)).rejects.toThrow(/got no folder, .* \(`dir`\)/);
      const nowhere = join(tmpdir(), 'mp-does-not-exist');
      await expect(verifyDataset(name, nowhere)).rejects.toThrow(nowhere);
    }
  });
});

describe('MemorySplit', () => {
  const split = new MemorySplit(Uint8Array.of(1, 2, 3, 4, 5, 6), Uint8Array.of(2, 0, 2), 2);
  it('copies the asked images in the asked order', () => {
    const pixels = split.read([2, 0, 2]);
    expect([...pixels]).toEqual([5, 6, 1, 2, 5, 6]);
    pixels.fill(0);
    expect([...split.read([2])]).toEqual([5, 6]);
    expect(split.counts(3)).toEqual([1, 0, 2]);
  });
  it('refuses indices and sizes that do not fit', () => {
    expect(() => split.read([3])).toThrow('got sample index 3, expected 0 to 2');
    expect(() => split.label(-1)).toThrow('got sample index -1');
    expect(() => new MemorySplit(new Uint8Array(5), new Uint8Array(3), 2)).toThrow(
      'got 5 bytes of pixels, expected 3 images of 2 bytes',
    );
  });
});

describe('channelStatistics', () => {
  it('gives mean and population deviation per channel, scaled to 0..1', () => {
    const { mean, std } = channelStatistics(Uint8Array.of(0, 255, 51, 51, 255, 0, 51, 51), 2, 2);
    expect(mean).toEqual([0.5, 0.2]);
    expect(std).toEqual([0.5, 0]);
  });
  it('counts labels within range only', () => {
    expect(countLabels([0, 1, 1, 7], 3)).toEqual([1, 2, 0]);
  });
});

describe('error helpers', () => {
  it('find the reason below fetch failed and the like', () => {
    expect(reasonOf(new Error('fetch failed', { cause: new Error('no route') }))).toBe(
      'fetch failed (no route)',
    );
    const bare = Object.assign(new Error(''), { code: 'ECONNREFUSED' });
    expect(reasonOf(new Error('fetch failed', { cause: bare }))).toBe(
      'fetch failed (ECONNREFUSED)',
    );
    expect(reasonOf('text')).toBe('text');
    expect(errnoOf(bare)).toBe('ECONNREFUSED');
    expect(errnoOf('text')).toBeUndefined();
  });
});
