// Sizes that are asked for as amounts of a budget.
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createModel } from '../../models/registry.js';
import { widthCosts } from '../../models/width-costs.js';
import { buildPage } from '../../../../report/src/testing/build-page.js';
import { readPruningRecord } from '../prune/record.js';
import { writeTinyImages } from '../testing/tiny.js';
import { collectRuns } from './collect.js';
import { type CompareControl, type CompareRequest, compare } from './compare.js';
import { requestOfFolder } from './request.js';
import { type SizesAsked, resolveSizes } from './sizes.js';
import { inProcess, smallRequest } from './testing/small-comparison.js';
import { tuneRates } from './tune.js';

let folder: string;
let request: CompareRequest;
let seen: string[];
/** MACs of the dense model. */
let dense: number;
/** About 60% of them. */
let amount: number;

const at = (...path: string[]): string => join(folder, ...path);

const run = (
  changes: Partial<CompareRequest>,
  out: string,
  control: Partial<CompareControl> = {},
) => compare({ ...request, ...changes }, { out, jobs: 1, start: inProcess(seen), ...control });

beforeAll(async () => {
  buildPage();
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-sizes-'));
  const images = at('images');
  await writeTinyImages(images);
  request = {
    ...smallRequest(images),
    rates: undefined,
    seeds: [0],
    methods: ['dense', 'oneshot', 'scratch'],
    budget: 'macs',
  };
  const { settings } = await run({ amounts: ['0.5x'] }, at('shares'));
  const { arch, model, imageSize = 0 } = settings.train;
  const [classes, channels] = [2, 3];
  const made = createModel(arch, { ...model, imageSize, channels, numClasses: classes });
  dense = readPruningRecord(at('shares', 'seed-0', 'oneshot-macs-0.5x'))?.macs.before ?? NaN;
  expect(widthCosts(made).macs({})).toBeGreaterThan(0.9 * dense);
  made.dispose();
  amount = Math.round((0.6 * dense) / 1000) * 1000;
});

beforeEach(() => {
  seen = [];
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a comparison at amounts of a budget', () => {
  let out: string;

  beforeAll(async () => {
    seen = [];
    out = at('mixed');
    const { settings, results, finished } = await run({ amounts: [amount, '0.5x'] }, out);
    expect(finished).toBe(true);
    const rate = Number((1 - amount / dense).toFixed(12));
    expect(settings.rates).toEqual([rate, 0.5]);
    expect(settings.amountsAt).toEqual([{ rate, amount }]);
    expect(settings).not.toHaveProperty('amounts');
    expect(results.methods.map((method) => method.rate)).toEqual([0, rate, rate, 0.5, 0.5]);
  });

  it('cuts every method to the amount itself, in folders that are called by it', () => {
    const name = `${amount / 1000}K`;
    expect(readdirSync(join(out, 'seed-0')).sort()).toEqual(
      ['base', 'dense', 'oneshot-macs-0.5x', `oneshot-macs-${name}`]
        .concat('scratch-macs-0.5x', `scratch-macs-${name}`)
        .sort(),
    );
    const record = readPruningRecord(join(out, 'seed-0', `oneshot-macs-${name}`));
    expect(record?.costBudget).toMatchObject([{ of: 'macs', asked: amount, limit: amount }]);
    expect(record?.macs.after).toBeLessThanOrEqual(amount);
  });

  it('tells the amounts in its table, beside the share that they remove', () => {
    const text = readFileSync(join(out, 'results.md'), 'utf8');
    const share = (100 * (1 - amount / dense)).toFixed(1);
    const words = `${share}% of the MACs, to ${amount / 1000}K`;
    expect(text).toContain(`Removed: ${words} (from ssm and mlp); 50% of the MACs (from`);
    expect(text).toContain(`| one-shot | ${words} |`);
    expect(text).not.toContain(String(1 - amount / dense).slice(0, 6));
  });

  it('goes on with the same, and with the settings of its folder', async () => {
    seen = [];
    await run({ amounts: [amount, '0.5x'] }, out);
    await compare(requestOfFolder(out, {}), { out, jobs: 1, start: inProcess(seen) });
    expect(seen).toEqual([]);
  });

  it('grows by sizes of either kind, and by seeds at an amount, but does not shrink', async () => {
    const grown = at('grown');
    cpSync(out, grown, { recursive: true });
    seen = [];
    const more = Math.round((0.4 * dense) / 1000) * 1000;
    const { settings } = await run(
      {
        amounts: ['0.5x', amount, more],
        seedsAt: [{ amount, seeds: [0, 1] }],
        methods: ['dense', 'oneshot', 'scratch'],
      },
      grown,
    );
    expect(seen).toEqual(
      [`seed-0/oneshot-macs-${more / 1000}K`, `seed-0/scratch-macs-${more / 1000}K`].concat(
        ['base', 'dense', `oneshot-macs-${amount / 1000}K`, `scratch-macs-${amount / 1000}K`].map(
          (name) => `seed-1/${name}`,
        ),
      ),
    );
    expect(settings.seedsAt).toEqual([{ rate: settings.rates[1], seeds: [0, 1] }]);
    await expect(run({ amounts: ['0.5x', more] }, grown)).rejects.toThrow(
      `holds size ${amount / 1000}K MACs, seed 1 too`,
    );
    await expect(run({ amounts: [amount, more] }, grown)).rejects.toThrow(
      'holds size 0.5x of the MACs, seed 1 too',
    );
  });

  it('keeps the rate that an amount had, though a file takes a little less or more now', async () => {
    const moved = at('moved');
    cpSync(out, moved, { recursive: true });
    const path = join(moved, 'compare.json');
    const file = JSON.parse(readFileSync(path, 'utf8')) as {
      settings: { rates: number[]; amountsAt: { rate: number }[] };
    };
    const [rate = 0] = file.settings.rates;
    const other = rate + 1e-6;
    const { settings } = file;
    settings.rates[0] = other;
    settings.amountsAt[0] = { ...settings.amountsAt[0], rate: other };
    writeFileSync(path, JSON.stringify(file));
    seen = [];
    const again = await run({ amounts: [amount, '0.5x'] }, moved);
    expect(again.settings.rates).toEqual([other, 0.5]);
    expect(seen).toEqual([]);
    // Two machines, one size.
    const together = await collectRuns({ out: at('collected'), from: [out, moved] });
    expect(together.settings.rates).toEqual([rate, 0.5]);
    expect(together.settings.amountsAt).toEqual([{ rate, amount }]);
    expect(together.results.done).toBe(5);
  });

  it('chooses learning rates at an amount, for the comparison after it', async () => {
    const tuned = at('tuned');
    const methods = ['oneshot'] as const;
    const asked = { ...request, amounts: [amount], methods };
    const { results, settings } = await tuneRates(
      asked,
      { lrs: [1e-3, 2e-3], seed: 9, amount },
      { out: tuned, jobs: 1, start: inProcess(seen) },
    );
    expect(settings.amountsAt).toEqual([{ rate: results.rate, amount }]);
    const { finished } = await compare(asked, { out: tuned, jobs: 1, start: inProcess(seen) });
    expect(finished).toBe(true);
    await expect(
      tuneRates(
        asked,
        { lrs: [1e-3, 2e-3], seed: 9, amount: '0.5x' },
        { out: tuned, jobs: 1, start: inProcess(seen) },
      ),
    ).rejects.toThrow(`the size 0.5x of the MACs to choose learning rates with, but`);
  });
});

describe('amounts of a budget', () => {
  it.each<[string, Partial<CompareRequest>, string]>([
    [
      'that the model does not exceed',
      { amounts: [1e9] },
      'which fits the budget 1G already: there is nothing to cut. Lower the budget.',
    ],
    ['beside rates', { amounts: [5e3], rates: [0.5] }, 'got `rates` and `amounts`'],
    ['without a budget', { budget: undefined, amounts: [5e3] }, 'got amounts without a `budget`'],
    [
      'that are none',
      { amounts: ['half' as '0.5x'] },
      "budget: MACs: got 'half', expected a number",
    ],
    ['of the whole model', { amounts: ['1x'] }, 'got the budget 1x, expected a share below 1x'],
    [
      'with seeds at a size that is not compared',
      { amounts: ['0.5x'], seedsAt: [{ amount: 3e6, seeds: [0] }] },
      'got seeds at 3M, expected one of the sizes that are compared: 0.5x.',
    ],
    [
      'with seeds at a rate that is not compared',
      { amounts: ['0.5x'], seedsAt: [{ rate: 0.6, seeds: [0] }] },
      'got seeds at the size 0.4x of the MACs, expected one that is compared: size 0.5x of the MACs.',
    ],
    ['and nothing at all', {}, 'got no `rates`, expected shares to remove'],
  ])('%s are refused', async (_, changes, message) => {
    await expect(run(changes, at('refused'))).rejects.toThrow(message);
  });

  it('are refused where two of them are one size', async () => {
    const half = dense / 2;
    await expect(run({ amounts: [half, '0.5x'] }, at('refused'))).rejects.toThrow(
      'which are the same size of this model. Leave one of them out.',
    );
  });

  it('are called by the share that a comparison has already', () => {
    const asked: SizesAsked = { budget: 'params', amounts: ['0.25x', 100] };
    const model = createModel('mamba_nano', { depth: 1, dModel: 8, dState: 2 });
    const costs = { model, info: { history: [] } } as unknown as Parameters<typeof resolveSizes>[1];
    const parameters = widthCosts(model).parameters({});
    const quarter = { ...asked, amounts: [parameters / 4] };
    expect(resolveSizes(quarter, costs, { budget: 'params', rates: [0.75] })).toEqual({
      rates: [0.75],
      seedsAt: undefined,
    });
    expect(resolveSizes(quarter, costs, { budget: 'macs', rates: [0.75] })).toMatchObject({
      amountsAt: [{ rate: 0.75, amount: parameters / 4 }],
    });
    model.dispose();
  });
});
