// Runs on the images of different folders, which are all the data set `folder`.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluateRuns } from '../images/evaluate-runs.js';
import type { RunData } from '../page-data/run.js';
import { type SmallRuns, makeSmallRuns } from '../testing/small-runs.js';
import { baselineOf } from './baseline.js';
import { collect } from './collect.js';
import { dataName, hasSeveralData } from './data-name.js';
import { findRuns } from './find-runs.js';
import { type OwnFolder, folderNames } from './folder-names.js';

let small: SmallRuns;
let folder: string;
beforeAll(async () => {
  small = await makeSmallRuns();
  folder = mkdtempSync(join(tmpdir(), 'mp-folder-names-'));
  cpSync(small.runs, join(folder, 'ours'), { recursive: true });
});
afterAll(() => {
  small.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The runs, and one that was trained on the images in another folder. */
function runsBeside(dir: string, numClasses = 2): RunData[] {
  const other = join(folder, 'ours', 'z-other');
  rmSync(other, { recursive: true, force: true });
  cpSync(join(small.runs, 'oneshot'), other, { recursive: true });
  const file = join(other, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as { dataset: object; model: object };
  const changed = {
    ...config,
    dataset: { ...config.dataset, dir },
    model: { ...config.model, numClasses },
  };
  writeFileSync(file, JSON.stringify(changed));
  return [...collect(findRuns([join(folder, 'ours')])).runs];
}

const named = (runs: readonly RunData[], id: string): RunData => {
  const run = runs.find((candidate) => candidate.id === id);
  if (!run) throw new Error(`no run ${id}`);
  return run;
};

describe('folders of images', () => {
  it('are told apart by what they are called', () => {
    const runs = runsBeside('/sets/pets');
    expect(hasSeveralData(runs)).toBe(true);
    expect(dataName(named(runs, 'oneshot'))).toBe('folder images');
    expect(dataName(named(runs, 'z-other'))).toBe('folder pets');
    // Or, where that is the same, by their classes.
    const alike = runsBeside('/sets/pets/images', 5);
    expect(new Set(alike.map(dataName)).size).toBe(2);
    expect(dataName(named(alike, 'z-other'))).toBe('folder pets/images');
  });

  it('are the same on another machine', () => {
    const runs = runsBeside('/elsewhere/images');
    expect(hasSeveralData(runs)).toBe(false);
    expect(dataName(named(runs, 'z-other'))).toBe('folder images');
  });

  it('are named by their own names only', () => {
    expect([
      ...folderNames([
        { path: '/a/x', classes: 2 },
        { path: '/b/x', classes: 2 },
        { path: '/a/y', classes: 2 },
        { path: '/b/y', classes: 3 },
      ]).values(),
    ]).toEqual(['x', 'x', 'a/y', 'b/y']);
  });

  it('are named by as many folders above as tell them apart, or by their numbers of classes', () => {
    const namesOf = (...folders: OwnFolder[]) => [...folderNames(folders).values()];
    expect(
      namesOf(
        { path: '/may/shop/photos', classes: 2 },
        { path: '/june/shop/photos', classes: 3 },
        { path: '/elsewhere/home/photos', classes: 2 },
      ),
    ).toEqual(['may/shop/photos', 'june/shop/photos', 'home/photos']);
    // One folder that has got another class since.
    expect(namesOf({ path: '/photos', classes: 2 }, { path: '/photos', classes: 3 })).toEqual([
      'photos (2 classes)',
      'photos (3 classes)',
    ]);
    expect(
      namesOf({ path: '/photos', classes: 1 }, { path: '/photos', classes: undefined }),
    ).toEqual(['photos (1 class)', 'photos']);
  });

  it('are not shown to models that were trained on others, nor are these compared', async () => {
    const runs = runsBeside('/sets/pets').sort((a, b) => a.id.localeCompare(b.id));
    const own = runs.filter(({ id }) => id !== 'z-other');
    const shown = await evaluateRuns([named(runs, 'z-other'), ...own], {
      images: 4,
      device: 'cpu',
    });
    expect(shown?.dataset).toBe('folder images');
    expect(shown?.runs.map(({ run }) => run)).toEqual(own.map(({ id }) => id));
    // A dense training after the same model, but on other images.
    const oneshot = named(runs, 'oneshot');
    const dense: RunData = { ...named(runs, 'z-other'), isDense: true, pruning: undefined };
    const same = { ...dense, dataset: oneshot.dataset };
    const baseline = (other: RunData) =>
      baselineOf(oneshot, [named(runs, 'dense'), other, oneshot]);
    expect(baseline(same)).toMatchObject({ isEqual: true, run: { id: 'z-other' } });
    expect(baseline(dense)).toMatchObject({ isEqual: false });
  });
});
