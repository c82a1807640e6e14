// What makes the tables of accuracies in docs/results/all-runs.md and docs/results.md: the pages and their picture are what the script makes of the logs, and
// the script refuses what would make a wrong table.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pairedTest } from 'mamba-prune/workflows';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildPage } from '../packages/report/src/testing/build-page.js';
import { readPicture } from '../packages/report/src/testing/read-picture.js';

interface Run {
  readonly set: string;
  readonly rate: number;
  readonly method: string;
  readonly seed: number;
  readonly accuracy: number;
}
interface Script {
  readSummaries(folder: string): Run[];
  tablesOf(runs: readonly Run[]): string;
  overviewOf(runs: readonly Run[]): string;
  pictureOf(runs: readonly Run[]): Promise<string>;
  withBlock(page: string, block: string): string;
}

const root = new URL('../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));
const read = (name: string): string => readFileSync(path(name), 'utf8');

let script: Script;
beforeAll(async () => {
  buildPage();
  const modules: object[] = [];
  for (const name of ['summaries', 'tables', 'overview', 'picture', 'page']) {
    const url = new URL(`benchmarks/accuracy-table/${name}.mjs`, root);
    modules.push((await import(url.href)) as object);
  }
  script = Object.assign({}, ...modules) as Script;
});

const parent = mkdtempSync(join(tmpdir(), 'accuracy-table-'));
let folder = '';
let folders = 0;
beforeEach(() => {
  folder = join(parent, String(folders++));
  mkdirSync(folder);
});
afterAll(() => {
  rmSync(parent, { recursive: true });
});

const usual = {
  ...{ set: 'cifar10', rate: 90, method: 'rsst', seed: 1 },
  ...{ denseAccuracy: 0.94, afterCut: 0.8, accuracy: 0.9, params: 1_360_000, macs: 86_400_000 },
  ...{ denseParams: 13_200_000, denseMacs: 858_000_000, learningRate: 2e-3, epochs: 40 },
};

/** A run with its log, at the place where the script expects it unless `at` says another. */
function write(
  change: Readonly<Record<string, unknown>> = {},
  { at, logged }: { readonly at?: string; readonly logged?: number | null } = {},
): void {
  const run = { ...usual, ...change };
  const stem = join(folder, at ?? `${run.set}/${run.rate}/${run.method}-seed-${run.seed}`);
  mkdirSync(dirname(stem), { recursive: true });
  writeFileSync(`${stem}.summary.json`, JSON.stringify(run));
  if (logged === null) return;
  const epochs = [
    { type: 'epoch', epoch: 39, valAccuracy: null },
    { type: 'epoch', epoch: 40, valAccuracy: logged ?? run.accuracy },
  ];
  writeFileSync(`${stem}.jsonl`, epochs.map((epoch) => `${JSON.stringify(epoch)}\n`).join(''));
}

/** The cells of the rows of one method at one rate, in the first table of a set or the second. */
function cells(tables: string, ...first: readonly string[]): string[][] {
  return tables
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((row) => first.every((text, i) => row[i + 1] === text))
    .map((row) => row.slice(1, -1));
}

describe('the page', () => {
  it('has the tables that the script makes of docs/results', () => {
    const tables = script.tablesOf(script.readSummaries(path('docs/results')));
    const page = read('docs/results/all-runs.md');
    expect(script.withBlock(page, tables)).toBe(page);
  });

  it('of the results has the short table of them', () => {
    const table = script.overviewOf(script.readSummaries(path('docs/results')));
    const page = read('docs/results.md');
    expect(script.withBlock(page, table)).toBe(page);
  });

  it('has the picture that the script draws of them', async () => {
    const svg = await script.pictureOf(script.readSummaries(path('docs/results')));
    expect(read('docs/images/accuracy-macs.svg')).toBe(svg);
  });

  it('is what the command prints', () => {
    const { stdout, status } = spawnSync(
      process.execPath,
      [path('benchmarks/accuracy-table/accuracy-table.mjs')],
      { encoding: 'utf8' },
    );
    expect(status).toBe(0);
    expect(read('docs/results/all-runs.md')).toContain(`begin -->\n\n${stdout.trim()}\n\n<!--`);
  });
});

describe('the tables', () => {
  it('have means, deviations and numbers of seeds, and say what was not run', () => {
    write({ seed: 1, accuracy: 0.9, afterCut: 0.8 });
    write({ seed: 2, accuracy: 0.91, afterCut: 0.82 });
    write({ seed: 3, accuracy: 0.92, afterCut: null });
    const tables = script.tablesOf(script.readSummaries(folder));
    expect(cells(tables, '90%', 'RSST')).toEqual([
      [
        ...['90%', 'RSST', '2e-3', '40', '94.00', '80.00 to 82.00', '1 to 3'],
        ...['90.00, 91.00, 92.00', '3', '91.00 ± 1.00', '1.36 M', '86.4 M'],
      ],
    ]);
    expect(cells(tables, '50%', 'one-shot')).toEqual([]);
    expect(tables).toContain(
      'Not run: one-shot at any rate; Refill at any rate; RSST at 50%, 70%, 80% and 95%.',
    );
    // CIFAR-100 has nothing.
    expect(tables).toContain(
      'Not run: one-shot at any rate; Refill at any rate; RSST at any rate.',
    );
    expect(cells(tables, '0%', 'dense')[0]).toEqual([
      ...['0%', 'dense', '–', '–', '–', '–', '–', '–', '1', '94.00', '13.2 M', '858 M'],
    ]);
    // Nothing to compare with.
    expect(tables).not.toContain('difference of');
  });

  it('test the pairs that both methods have, corrected over the rates', () => {
    const accuracies = {
      rsst: { 90: [0.9, 0.912, 0.92], 70: [0.93, 0.935, 0.931] },
      refill: { 90: [0.894, 0.9, 0.91, 0.8], 70: [0.931, 0.934, 0.932] },
    };
    for (const [method, rates] of Object.entries(accuracies)) {
      for (const [rate, list] of Object.entries(rates)) {
        list.forEach((accuracy, i) => {
          write({ method, rate: Number(rate), seed: i + 1, accuracy });
        });
      }
    }
    const tables = script.tablesOf(script.readSummaries(folder));
    const at90 = pairedTest([0.9, 0.912, 0.92], [0.894, 0.9, 0.91]);
    const p = at90.p ?? NaN;
    expect(p).toBeLessThan(0.05);
    expect(cells(tables, 'RSST - Refill', '90%')).toEqual([
      [
        ...['RSST - Refill', '90%', '3', '+0.93', '+0.17 to +1.69'],
        ...[p.toFixed(3), `${(2 * p).toFixed(3)} of 2`, 'neither is shown to be'],
      ],
    ]);
    expect(cells(tables, 'Refill - one-shot', '90%')).toEqual([]);
  });

  it('give a dense model one row, and pair only runs that began with one model', () => {
    const model = (dense: string, denseAccuracy: number) => ({ dense, denseAccuracy });
    const rsst = [0.92, 0.93, 0.94];
    const refill = [0.91, 0.925, 0.93];
    rsst.forEach((accuracy, i) => {
      write({ seed: i + 1, accuracy, ...model('first', 0.94) });
    });
    refill.forEach((accuracy, i) => {
      // The third seed began with another model, and the second with the first one, evaluated again.
      const from = i === 2 ? model('second', 0.95) : model('first', i === 1 ? 0.942 : 0.94);
      write({ method: 'refill', seed: i + 1, accuracy, learningRate: 4e-3, ...from });
    });
    const tables = script.tablesOf(script.readSummaries(folder));
    expect(cells(tables, '0%', 'dense').map((row) => row[9])).toEqual(['94.10', '95.00', '–']);
    const [difference] = cells(tables, 'RSST - Refill', '90%');
    const of = pairedTest(rsst.slice(0, 2), refill.slice(0, 2));
    expect(difference?.[2]).toBe('2');
    expect(Number(difference?.[3])).toBeCloseTo(100 * of.difference, 2);
  });

  it('name the method that is ahead, and say what one pair does not', () => {
    [0.9, 0.91, 0.92].forEach((accuracy, i) => {
      write({ seed: i + 1, accuracy: accuracy + 0.01 + 0.0005 * i });
      write({ method: 'refill', seed: i + 1, accuracy });
    });
    write({ rate: 70, accuracy: 0.93 });
    write({ rate: 70, method: 'refill', accuracy: 0.92 });
    const tables = script.tablesOf(script.readSummaries(folder));
    expect(cells(tables, 'RSST - Refill', '90%')[0]?.at(-1)).toBe('RSST');
    expect(cells(tables, 'RSST - Refill', '70%')[0]).toEqual([
      ...['RSST - Refill', '70%', '1', '+1.00', '–', '–', '–', '–'],
    ]);
  });

  it('take the dense runs, rates as shares, other methods and other images as they come', () => {
    write({ method: 'dense', rate: 0, accuracy: 0.95, afterCut: null });
    write({ method: 'one-shot', rate: 0.9 }, { at: 'cifar10/90/one-shot-seed-1' });
    write({ method: 'scratch', rate: 60, afterCut: null });
    write({ set: 'svhn', rate: 90, images: 'JPEG copy' });
    const tables = script.tablesOf(script.readSummaries(folder));
    expect(cells(tables, '0%', 'dense')[0]?.slice(6, 10)).toEqual(['1', '95.00', '1', '95.00']);
    expect(cells(tables, '90%', 'one-shot')[0]?.[8]).toBe('1');
    expect(cells(tables, '60%', 'scratch')[0]?.slice(4, 6)).toEqual(['–', '–']);
    expect(cells(tables, '90%, JPEG copy', 'RSST')).toHaveLength(1);
    expect(tables).toContain('**svhn.**');
  });

  it('leave out logs without a summary', () => {
    write();
    writeFileSync(join(folder, 'cifar10/90/tuning-rsst-4e-3.jsonl'), '{"valAccuracy":0.5}\n');
    expect(script.readSummaries(folder)).toHaveLength(1);
  });
});

describe('the short table', () => {
  it('has the means of the methods beside each other, with the numbers of their seeds', () => {
    write({ seed: 1, accuracy: 0.9, images: 'JPEG copy' });
    write({ seed: 2, accuracy: 0.92, denseAccuracy: 0.941, images: 'JPEG copy' });
    write({ method: 'refill', accuracy: 0.91, images: 'JPEG copy' });
    write({ set: 'cifar100', rate: 50, method: 'one-shot', accuracy: 0.7 });
    const table = script.overviewOf(script.readSummaries(folder));
    expect(cells(table, 'CIFAR-10 (JPEG copy)')).toEqual([
      [
        ...['CIFAR-10 (JPEG copy)', '90%', '94.00 to 94.10', '–'],
        ...['91.00 (1)', '91.00 ± 1.41 (2)', 'none'],
      ],
    ]);
    expect(cells(table, 'CIFAR-100')).toEqual([
      ['CIFAR-100', '50%', '94.00', '70.00 (1)', '–', '–', 'none'],
    ]);
  });

  it('has training from random weights where it was run, which began with no dense model', () => {
    write({ accuracy: 0.9 });
    write({ method: 'scratch', accuracy: 0.92, denseAccuracy: 0.95, afterCut: null });
    write({ rate: 50, accuracy: 0.93 });
    const table = script.overviewOf(script.readSummaries(folder));
    expect(table.split('\n')[0]).toMatch(/\| +scratch \|/);
    expect(cells(table, 'CIFAR-10').map((row) => row.slice(1, -1))).toEqual([
      ['50%', '94.00', '–', '–', '93.00 (1)', '–'],
      ['90%', '94.00', '–', '–', '90.00 (1)', '92.00 (1)'],
    ]);
  });

  it('names who is shown to be ahead by the corrected test, and of whom', () => {
    [0.9, 0.91, 0.92].forEach((accuracy, i) => {
      write({ seed: i + 1, accuracy });
      // The first is ahead of RSST by nearly the same in every pair, the second by much in two of them alone.
      write({ seed: i + 1, method: 'refill', accuracy: accuracy + 0.01 + 0.0005 * i });
      write({ seed: i + 1, method: 'oneshot', accuracy: accuracy + 0.03 * i });
    });
    const table = script.overviewOf(script.readSummaries(folder));
    expect(cells(table, 'CIFAR-10')[0]?.at(-1)).toBe('Refill over RSST');
  });
});

describe('the picture', () => {
  it('has both sets one below the other, and no empty one', async () => {
    write({ seed: 1 });
    write({ seed: 2, accuracy: 0.91 });
    const one = await script.pictureOf(script.readSummaries(folder));
    expect(readPicture(one).texts('heading')[0]).toContain('CIFAR-10');
    write({ set: 'cifar100', images: 'JPEG copy' });
    const both = await script.pictureOf(script.readSummaries(folder));
    const heights = [one, both].map((svg) => Number(/^<svg [^>]* height="(\d+)"/.exec(svg)?.[1]));
    expect(heights[1]).toBeGreaterThan(1.9 * (heights[0] ?? NaN));
    const { deviations, texts } = readPicture(both);
    // One seed has no bar.
    expect(deviations).toHaveLength(1);
    expect(texts('heading')).toContain('The images are a JPEG copy of the set.');
  });

  it('says that there is nothing to draw', async () => {
    await expect(script.pictureOf([])).rejects.toThrow('there is no run to draw');
  });
});

describe('what the script refuses', () => {
  const refusal = (): string => {
    try {
      script.readSummaries(folder);
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing';
  };

  it('a run in another place than it says', () => {
    write({}, { at: 'cifar10/70/rsst-seed-1' });
    expect(refusal()).toContain('is of cifar10, rsst, 90%, seed 1, expected it to lie at cifar10/90/rsst-seed-1.summary.json'); // prettier-ignore
  });

  it.each([
    [{ seed: 2 }, 'cifar10/90/rsst-seed-1'],
    [{ method: 'refill' }, 'cifar10/90/rsst-seed-1'],
    [{ set: 'cifar100' }, 'cifar10/90/rsst-seed-1'],
  ])('a copy: %j', (change, at) => {
    write(change, { at });
    expect(refusal()).toContain('Move it, or mend what it says.');
  });

  it('a log that ends otherwise, or none', () => {
    write({}, { logged: 0.89 });
    expect(refusal()).toContain('has the accuracy 0.9, but the last evaluation in');
    write({}, { logged: 0.9003 });
    expect(refusal()).toBe('nothing');
    write({ seed: 2 }, { logged: null });
    expect(refusal()).toContain('has no log, expected');
  });

  it.each([
    [{ learningRate: 4e-3 }, 'has learningRate 0.002, and cifar10/90/rsst-seed-2 0.004'],
    [{ epochs: 80 }, 'has epochs 40, and cifar10/90/rsst-seed-2 80'],
    [{ method: 'refill', images: 'JPEG copy' }, 'expected the same for all runs at one rate'],
    [{ fillback: 0.05 }, 'has fillback undefined, and cifar10/90/rsst-seed-2 0.05'],
  ])('what differs where it must not: %j', (change, words) => {
    write();
    write({ seed: 2, ...change });
    expect(refusal()).toContain(words);
  });

  it('one seed twice', () => {
    write({ method: 'oneshot' });
    write({ method: 'one-shot' });
    expect(refusal()).toContain('are of the same seed, expected one');
  });

  it.each([
    [{ accuracy: 90 }, 'has accuracy 90, expected a share of 1'],
    [{ afterCut: undefined }, 'has afterCut undefined, expected a share of 1, or null'],
    [{ macs: 0 }, 'has macs 0, expected a whole number above 0'],
    [{ rate: 100 }, 'has rate 100, expected'],
    [{ method: 'lottery' }, 'has the method "lottery", expected one of dense, scratch, oneshot'],
  ])('a value that is none: %j', (change, words) => {
    write(change);
    expect(refusal()).toContain(words);
  });

  it('a file that is no summary, and a folder that is none', () => {
    write();
    writeFileSync(join(folder, 'cifar10/90/rsst-seed-1.summary.json'), '[');
    expect(refusal()).toContain('is no JSON object, expected the summary of a run');
    const { stderr, status } = spawnSync(
      process.execPath,
      [path('benchmarks/accuracy-table/accuracy-table.mjs'), join(folder, 'nowhere')],
      { encoding: 'utf8' },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/nowhere does not exist, expected a folder of results/);
  });

  it('a page without the two comments', () => {
    expect(() => script.withBlock('# Results\n', '')).toThrow('Put them where the tables belong');
  });
});
