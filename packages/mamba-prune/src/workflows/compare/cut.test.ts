// What all methods of a comparison have in common when they cut: given once, passed to every run, kept, and refused early.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildPage } from '../../../../report/src/testing/build-page.js';
import { RunFolder } from '../../training/run-folder.js';
import {
  type PruningRecord,
  type RoundRecord,
  readPruningRecord,
  writePruningRecord,
} from '../prune/record.js';
import type { PruneSettings } from '../prune/settings.js';
import { writeTinyImages } from '../testing/tiny.js';
import { type CompareControl, type CompareRequest, type Comparison, compare } from './compare.js';
import { remarks } from './describe.js';
import { heldBackText } from './held-back.js';
import type { RunResult } from './outcomes.js';
import type { RunOrder } from './perform.js';
import type { StartRun } from './processes.js';
import { requestOfFolder } from './request.js';
import { type CompareSettings, checkCompareSettings, planRuns } from './settings.js';
import { type SmallRequest, inProcess, smallRequest } from './testing/small-comparison.js';

let folder: string;
let images: string;
let request: SmallRequest;
let seen: string[];

const at = (...path: string[]): string => join(folder, ...path);

const run = (
  changes: Partial<CompareRequest>,
  out: string,
  control: Partial<CompareControl> = {},
): Promise<Comparison> =>
  compare({ ...request, ...changes }, { out, jobs: 1, start: inProcess(seen), ...control });

const settingsIn = (...path: string[]) => RunFolder.open(at(...path)).config['settings'];

beforeAll(async () => {
  // What draws the picture is in its bundle.
  buildPage();
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-cut-'));
  images = at('images');
  await writeTinyImages(images);
  const small = smallRequest(images);
  const train = { ...small.train, model: { ...small.train.model, depth: 2 } };
  request = { ...small, train, seeds: [0] };
});

beforeEach(() => {
  seen = [];
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Two groups apart, compensated. */
const asked = {
  exclude: ['blocks.0.*'],
  rateOf: [{ pattern: '*.ssm', rate: 0.25 }],
} satisfies Partial<CompareRequest>;
const compensated = () => ({ ...asked, cut: { ...request.cut, compensate: { images: 16 } } });

describe('the cuts of a comparison', () => {
  it('leave groups whole, cut others at rates of their own and are compensated, under every method', async () => {
    const { finished, settings } = await run(compensated(), at('cut'));
    expect(finished).toBe(true);
    const rateOf = { 'blocks.0.ssm': 0, 'blocks.0.mlp': 0, 'blocks.1.ssm': 0.25 };
    expect(settings.cut).toMatchObject({ rateOf, compensate: { images: 16 } });
    expect(settings).not.toHaveProperty('exclude');
    expect(settings).not.toHaveProperty('rateOf');
    for (const method of ['oneshot', 'refill', 'rsst']) {
      const record = readPruningRecord(at('cut', `seed-0/${method}-50`));
      const { widthsBefore = {}, widthsAfter = {} } = record ?? {};
      const left = (name: string): number => (widthsAfter[name] ?? NaN) / (widthsBefore[name] ?? 0);
      expect(['blocks.0.ssm', 'blocks.0.mlp', 'blocks.1.ssm', 'blocks.1.mlp'].map(left)).toEqual([
        1, 1, 0.75, 0.5,
      ]);
      expect(record?.rounds[0]?.compensation?.images).toBe(16);
      expect(settingsIn('cut', `seed-0/${method}-50`)).toMatchObject({ rateOf });
    }
    // Of the dense model nothing is cut, whatever the rates of groups.
    const dense = readPruningRecord(at('cut', 'seed-0/dense'));
    expect(dense?.widthsAfter).toEqual(dense?.widthsBefore);
    expect(settingsIn('cut', 'seed-0/dense')).not.toHaveProperty('rateOf');
    expect(settingsIn('cut', 'seed-0/dense')).not.toHaveProperty('compensate');
    const table = readFileSync(at('cut', 'results.md'), 'utf8');
    expect(table).toContain('Every method leaves these groups whole: blocks.0.ssm, blocks.0.mlp.');
    expect(table).toContain('make up for them (compensation stream, up to 16 images).');
    expect(readFileSync(at('cut', 'results.json'), 'utf8')).toContain('"blocks.1.ssm": 0.25');
  });

  it('go on with the same settings and no others, also by the settings of the folder alone', async () => {
    expect((await run(compensated(), at('cut'))).finished).toBe(true);
    // By names, in place of patterns.
    const named = { exclude: ['blocks.0.mlp', 'blocks.0.ssm'], rateOf: asked.rateOf };
    expect((await run({ ...compensated(), ...named }, at('cut'))).finished).toBe(true);
    const stored = requestOfFolder(at('cut'), {});
    const again = await compare(stored, { out: at('cut'), start: inProcess(seen) });
    expect([again.finished, seen]).toEqual([true, []]);
    await expect(run(asked, at('cut'))).rejects.toThrow(
      'holds a comparison with other settings: cut.compensate.target: got nothing, expected "stream".',
    );
    const cut = { ...compensated().cut, compensate: { images: 12 } };
    await expect(run({ ...asked, cut }, at('cut'))).rejects.toThrow(
      'cut.compensate.images: got 12, expected 16',
    );
    await expect(run({ ...compensated(), exclude: ['blocks.0.mlp'] }, at('cut'))).rejects.toThrow(
      'exclude: got ["blocks.0.mlp"], expected ["blocks.0.mlp","blocks.0.ssm"].',
    );
    expect(seen).toEqual([]);
  });

  it.each<[string, () => Partial<CompareRequest>, string]>([
    ['a pattern of no group', () => ({ exclude: ['layer1.*'] }), "`exclude`: got 'layer1.*'"],
    [
      'rates for all groups',
      () => ({ rateOf: [{ pattern: '*', rate: 0.3 }] }),
      'rates of their own for all groups of ssm and mlp',
    ],
    [
      'a name of no group',
      () => ({ cut: { ...request.cut, rateOf: { 'blocks.9.mlp': 0.3 } } }),
      "got the name 'blocks.9.mlp'",
    ],
    [
      'a rate that is none',
      () => ({ rateOf: [{ pattern: '*.ssm', rate: 1 }] }),
      'expected the fraction to remove',
    ],
    [
      'rates that are no patterns',
      () => ({ rateOf: [{ '*.ssm': 0.3 }] as never }),
      '`rateOf`: got an object, expected a pattern with its rate',
    ],
    [
      'a number for a pattern',
      () => ({ exclude: [3] as never }),
      '`exclude`: got 3, expected names',
    ],
    [
      'batch normalisation that there is none of',
      () => ({ cut: { ...request.cut, bnBatches: 4 } }),
      'got 4 batches to measure batch normalisation again, but mamba_nano has none',
    ],
    [
      'more images than there are to compensate with',
      () => ({
        cut: { ...request.cut, compensate: {} },
        finetune: { ...request.finetune, maxTrainImages: 9 },
      }),
      'compare: got 9 training images to compensate with, expected at least 10',
    ],
    [
      'compensation of what nothing reads',
      () => ({ targets: ['state'], cut: { ...request.cut, compensate: {} } }),
      'got `compensate`, but groups of the kind state are read by no weights of their own',
    ],
    [
      'a budget that excluded groups keep out of reach',
      () => ({ ...asked, budget: 'macs', rates: [0.7] }),
      'the least that these groups can be cut to is',
    ],
    [
      'as many units as there are near zero',
      () => ({ rsst: { ...request.rsst, units: 'all', nearZero: 0.1 } }),
      'got `rsst.nearZero`, expected none',
    ],
  ])('are refused before anything is trained: %s', async (_, changes, message) => {
    const out = at('refused');
    await expect(run(changes(), out)).rejects.toThrow(message);
    expect([existsSync(out), seen]).toEqual([false, []]);
  });

  it('say where they hold the rate back, for their tables tell the rate that was asked for', async () => {
    const cut = { ...request.cut, minWidth: '75%' } as const;
    const methods = ['dense', 'oneshot', 'refill'] as const;
    const { results } = await run({ cut, methods }, at('short'));
    const short = ['ssm', 'mlp'].map((kind) => ({ kind, limit: 'min-width', reached: 0.25 }));
    expect(results.runs.map(({ shortOfRate }) => shortOfRate)).toEqual([undefined, short, short]);
    const told =
      'Of the 50% asked for 25.0% of ssm and 25.0% of mlp are gone, held back by the units that every group keeps at least.';
    expect(heldBackText(results.runs)).toEqual([told]);
    expect(readFileSync(at('short', 'results.md'), 'utf8')).toContain(`\n\n${told}\n`);
  });

  it('tell a range where runs came to different shares, and nothing where all reached the rate', () => {
    const runs = [0.681, 0.69, undefined].map((reached, seed): RunResult => ({
      seed,
      method: 'oneshot',
      rate: 0.7,
      run: `seed-${seed}/oneshot-70`,
      accuracy: 0.5,
      beforeCut: 0.5,
      afterCut: 0.5,
      parameters: 1,
      macs: 1,
      ...(reached !== undefined && {
        shortOfRate: [{ kind: 'channels', limit: 'round-to', reached }],
      }),
    }));
    expect(heldBackText(runs)).toEqual([
      'Of the 70% asked for 68.1% to 69.0% of channels are gone, held back by the rounding of widths.',
    ]);
    expect(heldBackText(runs.slice(2))).toEqual([]);
  });

  it('may be several of RSST, which is done after the last of them', async () => {
    const rsst = {
      ...request.rsst,
      epochs: 2,
      apply: 'proximal',
      lrThrough: true,
      cuts: 2,
    } as const;
    const changes = { rsst, methods: ['rsst'] as const };
    const { results } = await run(changes, at('cuts'));
    const path = at('cuts', 'seed-0/rsst-50');
    const record = readPruningRecord(path);
    expect(record?.rounds.map(({ finished }) => finished)).toEqual([true, true]);
    expect(results.runs[0]).toMatchObject({
      beforeCut: record?.rounds[0]?.accuracy.before,
      afterCut: record?.rounds[1]?.accuracy.afterCut,
    });
    // As it stands between the two.
    const between = at('between');
    cpSync(at('cuts'), between, { recursive: true });
    const { rounds = [] } = record ?? {};
    const { widths, kept } = rounds[0] as RoundRecord;
    const half = {
      ...(record as PruningRecord),
      rounds: rounds.slice(0, 1),
      widthsAfter: widths,
      kept,
    };
    writePruningRecord(join(between, 'seed-0/rsst-50'), half);
    const orders = await ordersOf(changes, between);
    expect(orders.map((order) => order.run.name)).toEqual(['seed-0/rsst-50']);
  });
});

/** What the processes of a comparison are told that is not carried out. */
async function ordersOf(
  changes: Partial<CompareRequest>,
  out: string,
  control: Partial<CompareControl> = {},
): Promise<RunOrder[]> {
  const orders: RunOrder[] = [];
  const start: StartRun = (order) => {
    orders.push(order);
    return { ended: Promise.resolve(false), stop: () => undefined };
  };
  await run(changes, out, { ...control, start });
  return orders;
}

describe('how runs are carried out', () => {
  it('is told to every process, and is no setting', async () => {
    const out = at('threads');
    const [order] = await ordersOf({}, out, { dataThreads: 2, tensorboard: true });
    expect(order).toMatchObject({ dataThreads: 2, tensorboard: true });
    const methods = ['oneshot'] as const;
    const { finished } = await run({ methods }, at('events'), { tensorboard: true });
    expect(finished).toBe(true);
    for (const name of ['base', 'oneshot-50'])
      expect(existsSync(at('events', 'seed-0', name, 'tensorboard'))).toBe(true);
    expect((await run({ methods }, at('events'))).finished).toBe(true);
  });
});

describe('a run that found for itself how many batches of batch normalisation to measure', () => {
  it('is done, in a comparison that does not say it', async () => {
    const out = at('norms');
    const methods = ['oneshot'] as const;
    await run({ methods }, out);
    const file = join(out, 'seed-0/oneshot-50/config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as { settings: PruneSettings };
    const settings = { ...config.settings, bnBatches: 16 };
    writeFileSync(file, JSON.stringify({ ...config, settings }));
    seen = [];
    expect((await run({ methods }, out)).finished).toBe(true);
    expect(seen).toEqual([]);
  });
});

describe('planRuns', () => {
  const settings: CompareSettings = {
    ...smallRequest('images'),
    dense: undefined,
    refill: { fillback: 0.1 },
    targets: ['ssm', 'mlp'],
    threads: 1,
    cut: {
      ...smallRequest('images').cut,
      rateOf: { 'blocks.0.ssm': 0 },
      minWidth: '10%',
      rankBy: 'score-per-cost',
      compensate: {},
      bnBatches: 3,
    },
  };

  it('measures batch normalisation again of the dense model too, as its methods do', () => {
    for (const planned of planRuns(settings, '/out')) {
      if (planned.command !== 'prune') continue;
      const { rateOf, compensate, bnBatches } = planned.settings;
      expect([bnBatches, rateOf !== undefined, compensate !== undefined]).toEqual([
        3,
        planned.rate > 0,
        planned.rate > 0,
      ]);
    }
  });

  it('is described in whole sentences', () => {
    const rsst = { ...settings.rsst, rechoose: 2, cutAtZero: true };
    expect(remarks({ ...settings, rsst })).toEqual([
      'Every method leaves these groups whole: blocks.0.ssm.',
      'Every group keeps 10% of its units at least.',
      'Units are ranked by their score per what their removal saves.',
      'At the cut the weights that read removed units make up for them (compensation stream, up to 2,048 images).',
      'Batch normalisation is measured again after the cut, over 3 batches.',
      'RSST chooses the doomed units anew after every 2 regularised epochs.',
      'RSST cuts after the first regularised epoch that leaves all doomed units at zero.',
    ]);
    const { cut: plain } = smallRequest('images');
    const cut = { ...plain, rateOf: { a: 0.3 }, bnBatches: 0, minWidth: 4 };
    const budgeted = {
      ...settings,
      cut,
      budget: 'macs',
      rsst: { ...settings.rsst, cuts: 3 },
    } as const;
    expect(remarks(budgeted)).toEqual([
      'Whatever the budget, every method removes 30% of these groups: a.',
      'Every group keeps 4 units at least.',
      'Batch normalisation keeps its statistics at the cut.',
      'RSST cuts 3 times within its regularised epochs; its accuracies at the cut are those before the first and after the last.',
    ]);
    // What no method does is not told.
    expect(remarks({ ...budgeted, methods: ['oneshot'] })).toHaveLength(3);
    expect(() => {
      checkCompareSettings(settings);
    }).not.toThrow();
  });
});
