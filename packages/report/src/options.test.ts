// Options as they come from JavaScript, where nobody checks types.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from 'mamba-prune';
import type { ReportHooks, ReportOptions, StudioOptions } from 'mamba-prune/internal';
import { nn } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { collect } from './data/collect.js';
import { type FoundRuns, findRuns } from './data/find-runs.js';
import { timeRuns } from './latency.js';
import type { ReportData } from './page-data/report.js';
import { reportHtml } from './report-html.js';
import { startStudio } from './studio/start-studio.js';
import { buildPage } from './testing/build-page.js';
import { type SmallRuns, makeSmallRuns } from './testing/small-runs.js';
import { writeReport } from './write-report.js';

let small: SmallRuns;
beforeAll(async () => {
  buildPage();
  small = await makeSmallRuns();
});
afterAll(() => {
  small.remove();
});

describe('the options of writeReport', () => {
  it.each<[string, object | undefined, RegExp]>([
    ['none', undefined, /^writeReport: got undefined in place of the options/],
    ['no paths', {}, /^writeReport: got options without `paths`/],
    ['one that is unknown', { paths: ['r'], bench: [1] }, /the option `bench`, expected some of/],
    [
      'a path in place of paths',
      { paths: 'runs' },
      /paths: got the string 'runs', expected an arr/,
    ],
    ['an empty array of paths', { paths: [] }, /paths: got an empty array, expected one folder/],
    ['a number as a path', { paths: [1] }, /^writeReport: paths: got number, expected the path/],
    ['an empty name of the file', { paths: ['r'], out: '' }, /out: got an empty path/],
    ['images below none', { paths: ['r'], images: -1 }, /images: got -1, expected an integer/],
    ['half an image', { paths: ['r'], images: 0.5 }, /images: got 0.5, expected an integer/],
    ['text as a number', { paths: ['r'], images: '8' }, /images: got the string '8', expected a n/],
    ['a batch of none', { paths: ['r'], benchBatches: [0] }, /benchBatches: got 0, expected an in/],
    ['a batch alone', { paths: ['r'], benchBatches: 1 }, /benchBatches: got the number 1, expecte/],
    ['models as text', { paths: ['r'], withModels: 'no' }, /withModels: got the string 'no'/],
    ['a number as device', { paths: ['r'], device: 0 }, /device: got the number 0, expected a st/],
  ])('refuse %s', async (_, options, message) => {
    const wrong = writeReport(options as unknown as ReportOptions);
    await expect(wrong).rejects.toThrow(message);
    await expect(wrong).rejects.toBeInstanceOf(UsageError);
  });

  it('refuse hooks that it would not call', async () => {
    const hooks = { onNotes: () => undefined } as unknown as ReportHooks;
    await expect(writeReport({ paths: ['r'] }, hooks)).rejects.toThrow(
      /^writeReport: hooks: got the option `onNotes`, expected some of `onProgress`, `onNote`/,
    );
  });
});

describe('a report of nothing but paths', () => {
  it('shows the models images, on the CPU, and lies beside the runs without the models', async () => {
    const shown: string[] = [];
    const onProgress = (what: string): void => void shown.push(what);
    const { path, bytes, runs } = await writeReport({ paths: [small.runs] }, { onProgress });
    expect(path).toBe(join(small.runs, 'report.html'));
    expect(statSync(path).size).toBe(bytes);
    expect(runs).toEqual(['dense', 'oneshot', 'refill', 'rsst']);
    expect(new Set(shown)).toEqual(new Set(['images']));
    const { bytes: withModels } = await writeReport({ paths: [small.runs], withModels: true });
    expect(withModels).toBeGreaterThan(bytes);
  });
});

describe('the times of a report', () => {
  it('leave no model open where one does not fit on the device', async () => {
    const { runs } = collect(findRuns([small.runs]));
    const dispose = vi.spyOn(nn.Module.prototype, 'dispose');
    const to = vi.spyOn(nn.Module.prototype, 'to');
    try {
      to.mockImplementationOnce(function (this: nn.Module) {
        return this;
      }).mockImplementation(() => {
        throw new Error('no room');
      });
      await expect(timeRuns(runs, { batches: [1], device: 'cpu' })).rejects.toThrow('no room');
      expect(to).toHaveBeenCalledTimes(2);
      expect(new Set(dispose.mock.contexts)).toEqual(new Set(to.mock.contexts));
    } finally {
      vi.restoreAllMocks();
    }
  });
});

describe('the paths of findRuns', () => {
  it('are an array', () => {
    expect(() => findRuns('runs' as unknown as string[])).toThrow(
      "findRuns: paths: got 'runs', expected an array of folders, such as ['runs'].",
    );
  });
});

describe('the options of startStudio', () => {
  it.each<[string, unknown, RegExp]>([
    ['a folder in their place', 'runs', /^startStudio: got the string 'runs' in place of the opt/],
    ['one that is unknown', { host: '::' }, /the option `host`, expected some of `folder`, `port`/],
    ['an empty folder', { folder: '' }, /^startStudio: folder: got an empty path/],
    ['a port as text', { port: '80' }, /^startStudio: port: got the string '80', expected a num/],
    ['a port that no machine has', { port: 65_536 }, /port: got 65536, expected an integer from 0/],
    ['a number as data', { port: 0, data: 1 }, /^startStudio: data: got the number 1/],
  ])('refuse %s', async (_, options, message) => {
    const wrong = startStudio(options as StudioOptions);
    await expect(wrong).rejects.toThrow(message);
    await expect(wrong).rejects.toBeInstanceOf(UsageError);
  });
});

describe('what collect is given', () => {
  const found = {
    root: '/runs',
    comparisonRoot: '/runs',
    runs: [],
    comparisons: [],
    sensitivities: [],
    damaged: [],
  };

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /^collect: got undefined in place of the options/],
    ['the paths', ['runs'], /^collect: got a value of type array in place of the opt/],
    [
      'a part',
      { root: '/runs', runs: [] },
      /^collect: got options without `comparisonRoot`, `comp/,
    ],
    ['an entry that is unknown', { ...found, folders: [] }, /the option `folders`, expected some/],
    [
      'a path in place of paths',
      { ...found, runs: '/runs' },
      /runs: got the string '\/runs', expec/,
    ],
    [
      'a number as a path',
      { ...found, runs: [1] },
      /^collect: runs: got number, expected the path/,
    ],
  ])('is refused where it is %s', (_, wrong, message) => {
    expect(() => collect(wrong as FoundRuns)).toThrow(message);
    expect(() => collect(wrong as FoundRuns)).toThrow(UsageError);
  });
});

describe('what reportHtml is given', () => {
  const data = (): ReportData => collect(findRuns([small.runs]));

  it('is what collect gives', () => {
    expect(reportHtml(data())).toContain('id="data"');
  });

  it.each<[string, () => [unknown, unknown?], RegExp]>([
    ['nothing', () => [undefined], /^reportHtml: got undefined in place of the options/],
    ['a page without runs', () => [{ comparisons: [], notes: [] }], /got options without `runs`/],
    ['an unknown entry', () => [{ ...data(), title: 'T' }], /the option `title`, expected some of/],
    ['text as notes', () => [{ ...data(), notes: 'none' }], /notes: got the string 'none', expect/],
    ['a model alone', () => [data(), { file: 1 }], /^reportHtml: models: got an object, expected/],
    ['a model without its file', () => [data(), [{ model: {} }]], /got options without `file`/],
  ])('is refused where it is %s', (_, given, message) => {
    const call = (): string => reportHtml(...(given() as Parameters<typeof reportHtml>));
    expect(call).toThrow(message);
    expect(call).toThrow(UsageError);
  });
});
