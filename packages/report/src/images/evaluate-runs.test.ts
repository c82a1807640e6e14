// Runs of a folder of images may have models of other sizes, and of other classes: the page shows what can be shown.
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { trainRun } from 'mamba-prune';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyTraining, writeTinyImages } from '../../../mamba-prune/src/workflows/testing/tiny.js';
import { collect } from '../data/collect.js';
import { findRuns } from '../data/find-runs.js';
import { evaluateRuns } from './evaluate-runs.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-sizes-'));
const runs = join(folder, 'runs');

beforeAll(async () => {
  // Of one name, so that they pass for the same images until they are read.
  const [images, others] = [join(folder, 'images'), join(folder, 'others', 'images')];
  await writeTinyImages(images);
  await writeTinyImages(others);
  for (const part of ['train', 'test']) {
    renameSync(join(others, part, 'right'), join(others, part, 'top'));
  }
  mkdirSync(runs);
  const train = async (name: string, data: string, imageSize: number): Promise<void> => {
    const settings = { ...tinyTraining(data), imageSize };
    (await trainRun(settings, { out: join(runs, name) })).model.dispose();
  };
  await train('small', images, 8);
  await train('large', images, 12);
  await train('other-classes', others, 8);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('images of a folder', () => {
  it('are shown to every model at its size, and to none of other classes, which is said', async () => {
    const left: string[] = [];
    const evaluation = await evaluateRuns(collect(findRuns([runs])).runs, {
      images: 16,
      device: 'cpu',
      onLeftOut: (note) => left.push(note),
    });
    expect(evaluation?.runs.map(({ run }) => run).sort()).toEqual(['large', 'small']);
    expect(evaluation?.images).toBe(16);
    expect(left).toEqual([
      expect.stringMatching(
        /^other-classes was not shown the images: the model does not fit folder: got class 1 'right', expected 'top'/,
      ),
    ]);
  });
});
