// Parts of a comparison: training from scratch, given dense models, tuned learning rates, runs of other machines that came
// without their models.
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../models/model-file.js';
import { RunFolder } from '../../training/run-folder.js';
import { readPruningRecord } from '../prune/record.js';
import { writeTinyImages } from '../testing/tiny.js';
import { collectRuns } from './collect.js';
import { type CompareControl, type CompareRequest, compare } from './compare.js';
import { requestOfFolder } from './request.js';
import type { CompareResults } from './results.js';
import { type SmallRequest, inProcess, smallRequest } from './testing/small-comparison.js';
import { tuneRates } from './tune.js';

let folder: string;
/** A comparison with scratch that is done: one seed at one rate. */
let whole: string;
let request: SmallRequest;
let seen: string[];

const at = (...path: string[]): string => join(folder, ...path);

const run = (told: CompareRequest, out: string, control: Partial<CompareControl> = {}) =>
  compare(told, { out, jobs: 1, start: inProcess(seen), ...control });

const resultsOf = (out: string): CompareResults =>
  JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as CompareResults;

const outcome = ({ methods, tests, baselineTests, scratchTests, runs }: CompareResults) => ({
  methods,
  tests,
  baselineTests,
  scratchTests,
  runs,
});

/** What is left of runs that come home light. */
function withoutWeights(from: string, to: string): void {
  cpSync(from, to, {
    recursive: true,
    filter: (path) => !path.endsWith('.safetensors') && !path.endsWith('checkpoints'),
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-parts-'));
  await writeTinyImages(at('images'));
  request = {
    ...smallRequest(at('images')),
    seeds: [0],
    methods: ['dense', 'scratch', 'oneshot', 'refill', 'rsst'],
  };
  seen = [];
  whole = at('whole');
  expect((await run(request, whole)).finished).toBe(true);
});

beforeEach(() => {
  seen = [];
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('training from scratch', () => {
  it('trains a model of exactly the widths that the one-shot cut left, from random weights', () => {
    const record = readPruningRecord(join(whole, 'seed-0/oneshot-50'));
    const { model } = loadModel(join(whole, 'seed-0/scratch-50/model.safetensors'));
    const groups = model.pruningGroups().map(({ name, size }) => [name, size] as const);
    expect(Object.fromEntries(groups)).toEqual(record?.widthsAfter);
    expect(model.numParameters()).toBe(record?.parameters.after);
    model.dispose();
    const config = RunFolder.open(join(whole, 'seed-0/scratch-50')).config;
    expect(config).toMatchObject({
      command: 'train',
      settings: { widths: record?.widthsAfter, recipe: { epochs: 4, lr: 2e-3, seed: 0 } },
    });
  });

  it('stands in the results with what its training reached, and is tested against', () => {
    const { methods, scratchTests, planned, done } = resultsOf(whole);
    expect([done, planned]).toEqual([5, 5]);
    const [, oneshot] = methods.filter(({ rate }) => rate > 0);
    const scratch = methods.find(({ method }) => method === 'scratch');
    const metrics = RunFolder.open(join(whole, 'seed-0/scratch-50')).readMetrics();
    expect(scratch).toMatchObject({
      accuracy: metrics.findLast(({ type }) => type === 'epoch')?.['valAccuracy' as 'loss'],
      beforeCut: null,
      afterCut: null,
      parameters: oneshot?.parameters,
      macs: oneshot?.macs,
    });
    expect(scratchTests?.map((test) => test.methods.join(' - '))).toEqual([
      'oneshot - scratch',
      'refill - scratch',
      'rsst - scratch',
    ]);
    expect(readFileSync(join(whole, 'results.md'), 'utf8')).toMatch(
      /^\| scratch \| 50% \| \d+\.\d\d% \| 1 \| (?:[+-]\d+\.\d\d|0\.00) \| {2}\| {2}\|/m,
    );
  });

  it('is trained anew where the one-shot cut has other widths', async () => {
    const out = at('rewidened');
    cpSync(whole, out, { recursive: true });
    const path = join(out, 'seed-0/scratch-50/config.json');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/("blocks\.0\.mlp": )\d+/g, '$13'));
    await run(request, out);
    expect(seen).toEqual(['seed-0/scratch-50']);
    expect(outcome(resultsOf(out))).toEqual(outcome(resultsOf(whole)));
  });
});

describe('runs that came without their models', () => {
  it('are done: results are made anew from their records, and nothing is trained', async () => {
    const out = at('light');
    withoutWeights(whole, out);
    rmSync(join(out, 'results.json'));
    expect((await run(request, out)).finished).toBe(true);
    expect(seen).toEqual([]);
    expect(outcome(resultsOf(out))).toEqual(outcome(resultsOf(whole)));
  });

  it('are taken from several folders, with their records and nothing else, and without any data', async () => {
    const [a, b, out] = [at('part-a'), at('part-b'), at('together')];
    for (const part of [a, b]) withoutWeights(whole, part);
    for (const name of ['refill-50', 'rsst-50'])
      rmSync(join(a, 'seed-0', name), { recursive: true });
    for (const name of ['oneshot-50', 'dense'])
      rmSync(join(b, 'seed-0', name), { recursive: true });
    // Another machine has its images elsewhere, and other cores.
    const file = join(b, 'compare.json');
    const text = readFileSync(file, 'utf8').replace(/"threads": \d+/, '"threads": 77');
    expect(text).toContain('"threads": 77');
    writeFileSync(file, text);

    const first = await collectRuns({ out, from: [a] });
    expect(first).toMatchObject({ finished: false, results: { done: 3, planned: 5 } });
    const both = await collectRuns({ out, from: [b] });
    expect(both.finished).toBe(true);
    expect(both.taken).toEqual(['seed-0/refill-50', 'seed-0/rsst-50']);
    expect(outcome(resultsOf(out))).toEqual(outcome(resultsOf(whole)));
    expect(readdirSync(join(out, 'seed-0/refill-50')).sort()).toEqual([
      'config.json',
      'metrics.jsonl',
      'pruning.json',
    ]);
    expect((await collectRuns({ out })).taken).toEqual([]);
    await run(requestOfFolder(out, {}), out);
    expect(seen).toEqual([]);
  });

  it('are missed by what begins with them, by name', async () => {
    const out = at('missed');
    withoutWeights(whole, out);
    await expect(run({ ...request, rates: [0.5, 0.25] }, out)).rejects.toThrow(
      /seed-0\/oneshot-25 begins with the model of seed-0\/base, which is done, but was brought to .* without its model/,
    );
    expect(seen).toEqual([]);
    expect(readPruningRecord(join(out, 'seed-0/refill-50'))).toBeDefined();
  });

  it('are refused from another comparison, and from a folder that is none', async () => {
    const other = at('other');
    withoutWeights(whole, other);
    const file = join(other, 'compare.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"lr": 0.001', '"lr": 0.5'));
    await expect(collectRuns({ out: whole, from: [other] })).rejects.toThrow(
      /holds a comparison with other settings than .*whole: finetune\.lr: got 0\.5, expected 0\.001/,
    );
    await expect(collectRuns({ out: at('new'), from: [at('images')] })).rejects.toThrow(
      /images holds no comparison \(it has no compare\.json\)/,
    );
    await expect(collectRuns({ out: at('new') })).rejects.toThrow(/holds no comparison/);
    expect(existsSync(at('new'))).toBe(false);
    writeFileSync(
      file,
      '{"kind": "mamba-prune comparison", "format": 1, "settings": {"seeds": 3}}',
    );
    await expect(collectRuns({ out: whole, from: [other] })).rejects.toThrow(
      /compare\.json does not describe a comparison/,
    );
  });

  it('are left where they are begun', async () => {
    const out = at('begun');
    cpSync(whole, out, { recursive: true });
    const record = join(out, 'seed-0/refill-50/pruning.json');
    writeFileSync(
      record,
      readFileSync(record, 'utf8').replaceAll('"finished": true', '"finished": false'),
    );
    const notes: string[] = [];
    const { taken } = await collectRuns(
      { out, from: [whole] },
      { onNote: (note) => notes.push(note) },
    );
    expect(taken).toEqual([]);
    expect(notes[0]).toMatch(/seed-0\/refill-50 is begun in .* and done in .*delete .* to take it/);
  });
});

describe('a part of a comparison', () => {
  it('is done with what it needs; what there is from another base stays', async () => {
    const out = at('only');
    withoutWeights(whole, out);
    rmSync(join(out, 'seed-0/base'), { recursive: true });
    rmSync(join(out, 'seed-0/scratch-50'), { recursive: true });
    const { results } = await run(request, out, { only: ['seed-0/scratch-50'] });
    expect(seen).toEqual(['seed-0/scratch-50']);
    expect(outcome(results)).toEqual(outcome(resultsOf(whole)));
    await expect(run(request, out, { only: ['seed-1/*'] })).rejects.toThrow(
      /got `only` "seed-1\/\*", which names no run/,
    );
  });

  it('that names no run begins nothing, and adds nothing', async () => {
    const only = ['seed-9/*'];
    await expect(run(request, at('none'), { only })).rejects.toThrow(/which names no run/);
    const tune = { lrs: [1e-3, 2e-3], seed: 9, rate: 0.5 };
    const control = { out: at('none'), start: inProcess(), only: ['seed-0/*'] };
    await expect(tuneRates(request, tune, control)).rejects.toThrow(/which names no run/);
    expect(existsSync(at('none'))).toBe(false);
    const before = readFileSync(at('only', 'compare.json'), 'utf8');
    const more = { ...request, rates: [...request.rates, 0.75] };
    await expect(run(more, at('only'), { only })).rejects.toThrow(/which names no run/);
    expect(readFileSync(at('only', 'compare.json'), 'utf8')).toBe(before);
  });
});

describe('given dense models', () => {
  const dense = (): string => join(whole, 'seed-0/base/model.safetensors');

  it('take the place of trained ones, and their recipe comes along from a run', async () => {
    const out = at('given');
    const told = { ...request, train: { ...request.train, arch: 'mamba_tiny', model: {} } };
    told.train = { ...told.train, recipe: { epochs: 77 } };
    const { settings, results } = await run({ ...told, dense: [dense()] }, out);
    expect(settings.train).toMatchObject({ ...request.train, recipe: { epochs: 1, lr: 2e-3 } });
    expect(seen).not.toContain('seed-0/base');
    // The same model, seed and recipe: the same runs, also from scratch.
    expect(outcome(results)).toEqual(outcome(resultsOf(whole)));

    // The model is known by its content, wherever it lies.
    seen = [];
    const copy = at('copy.safetensors');
    cpSync(dense(), copy);
    const moved = { ...requestOfFolder(out, { dense: [copy] }) };
    expect((await run(moved, out)).finished).toBe(true);
    expect(seen).toEqual([]);
    const another = join(whole, 'seed-0/dense/model.safetensors');
    await expect(run({ ...moved, dense: [another] }, out)).rejects.toThrow(
      /holds a comparison with other settings: dense/,
    );
  });

  it('say how large images of any size are to be, where nobody does', async () => {
    const { imageSize, ...train } = request.train;
    const told = { ...request, train, dense: [dense()] };
    const control = { out: at('sized'), jobs: 1, signal: AbortSignal.abort(), start: inProcess() };
    const { settings } = await compare(told, control);
    expect(settings.train.imageSize).toBe(imageSize);
  });

  it('are said to have been pruned where one has been', async () => {
    const pruned = join(whole, 'seed-0/oneshot-50/model.safetensors');
    const notes: string[] = [];
    const onNote = (note: string): void => {
      notes.push(note);
    };
    // Its recipe is not known: it stops before any work.
    const told = { ...request, dense: [pruned, dense()], seeds: [0, 1] };
    await expect(run(told, at('no'), { data: { onNote } })).rejects.toThrow(/different models/);
    expect(notes).toEqual([
      `${pruned} has been pruned before. What is compared as dense is this smaller model, and the rates are shares of the ` +
        'units that it has left.',
    ]);
  });

  it('say so where all seeds share one', async () => {
    const out = at('shared');
    const told = { ...request, methods: ['oneshot', 'refill'] as const, seeds: [0, 1] };
    await run({ ...told, dense: [dense()] }, out);
    const table = readFileSync(join(out, 'results.md'), 'utf8');
    expect(table).toContain('2 seeds; the given dense model base, then 3 epochs');
    expect(table).toContain('All seeds share one dense model');
  });

  it('are refused where they differ in more than their weights, or do not fit', async () => {
    const pruned = join(whole, 'seed-0/oneshot-50/model.safetensors');
    const two = { ...request, seeds: [0, 1], dense: [dense(), pruned] };
    await expect(run(two, at('no'))).rejects.toThrow(/have different models: widths is/);
    const three = { ...request, dense: [dense(), dense()] };
    await expect(run(three, at('no'))).rejects.toThrow(/2 dense models for 1 seed,/);
    await expect(run({ ...request, dense: [] }, at('no'))).rejects.toThrow(/got no dense model/);
    await expect(run({ ...request, dense: [at('nothing.safetensors')] }, at('no'))).rejects.toThrow(
      'nothing.safetensors',
    );
    expect(existsSync(at('no'))).toBe(false);
  });
});

describe('tuneRates', () => {
  it('chooses a rate for every method on a seed of its own, for the comparison that begins there', async () => {
    const out = at('tuned');
    const tune = { lrs: [5e-3, 1e-4], seed: 9, rate: 0.25 };
    const told = { ...request, methods: ['oneshot', 'refill'] as const };
    const control = { out, jobs: 1, start: inProcess(seen) };
    const { results, finished } = await tuneRates(told, tune, control);
    expect(finished).toBe(true);
    expect(seen).toEqual([
      'seed-9/base',
      'seed-9/oneshot-25-lr-0.0001',
      'seed-9/refill-25-lr-0.0001',
      'seed-9/oneshot-25-lr-0.005',
      'seed-9/refill-25-lr-0.005',
    ]);
    for (const method of ['oneshot', 'refill'] as const) {
      const own = results.runs.filter((found) => found.method === method);
      for (const { lr, accuracy, run: name } of own) {
        const path = join(out, 'tune', name);
        expect(readPruningRecord(path)?.accuracy.after).toBe(accuracy);
        expect(RunFolder.open(path).config.train?.lr).toBe(lr);
      }
      const best = Math.max(...own.map(({ accuracy }) => accuracy));
      // Of equal ones the lowest.
      expect(results.chosen[method]).toBe(own.find(({ accuracy }) => accuracy === best)?.lr);
    }
    expect(results.atTheEdge).toEqual(['oneshot', 'refill']);
    expect(readFileSync(join(out, 'tune/results.md'), 'utf8')).toMatch(
      /^\| method \| 0\.0001 \| 0\.005 \|$[^]*^\| Refill \| .*\*\*\d+\.\d\d%\*\*/m,
    );

    const { settings } = await run(told, out, { only: ['seed-0/oneshot-50'] });
    expect(settings.lrOf).toEqual(results.chosen);
    expect(RunFolder.open(join(out, 'seed-0/oneshot-50')).config.train?.lr).toBe(
      results.chosen.oneshot,
    );

    for (const other of [{ seed: 8 }, { rate: 0.5 }]) {
      await expect(tuneRates(told, { ...tune, ...other }, control)).rejects.toThrow(
        /holds a choice at the seed 9 and the rate 0\.25, expected the same\. Change `tune\.seed`/,
      );
    }

    // Another comparison does not get what was chosen for this one.
    const copy = at('tuned-otherwise');
    cpSync(join(out, 'tuning.json'), join(copy, 'tuning.json'));
    const otherwise = { ...told, finetune: { ...told.finetune, epochs: 4 } };
    await expect(run(otherwise, copy)).rejects.toThrow(
      /tuning\.json were chosen with other settings: finetune\.epochs: .*Tune again/,
    );
    await expect(run({ ...told, seeds: [8, 9] }, copy)).rejects.toThrow(
      /the seed 9 was used to choose the learning rates/,
    );
    writeFileSync(join(copy, 'tuning.json'), '{"kind": "mamba-prune tuning", "chosen": 3}');
    await expect(run(told, copy)).rejects.toThrow(/does not tell the learning rates of a tuning/);
  });

  it.each([
    ['a seed that is compared too', { lrs: [1e-3, 2e-3], seed: 0, rate: 0.5 }, /seed 0 to choose/],
    ['one rate', { lrs: [1e-3], seed: 9, rate: 0.5 }, /expected two different ones at least/],
    ['a rate that is none', { lrs: [1e-3, 2e-3], seed: 9, rate: 1 }, /got the rates 1/],
    ['no list', { lrs: '1e-3' as unknown as number[], seed: 9, rate: 0.5 }, /tuneRates: lrs/],
  ])('refuses %s', async (_, tune, message) => {
    await expect(tuneRates(request, tune, { out: at('no-tuning') })).rejects.toThrow(message);
    expect(existsSync(at('no-tuning'))).toBe(false);
  });
});
