import {
  mkdirSync,
  mkdtempSync,
  cpSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pruneRun, trainRun } from 'mamba-prune';
import { readPruningRecord, unpackScores, readRoundScores } from 'mamba-prune/workflows';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { tinyPruning, tinyTraining } from '../../../mamba-prune/src/workflows/testing/tiny.js';
import type { ReportData } from '../page-data/report.js';
import type { RunData } from '../page-data/run.js';
import { writeSmallComparison } from '../testing/small-comparison.js';
import { type SmallRuns, makeSmallRuns } from '../testing/small-runs.js';
import { collect } from './collect.js';
import { Watcher } from '../studio/watcher.js';
import { findRuns, findRunsBelow } from './find-runs.js';

let small: SmallRuns;
let report: ReportData;
beforeAll(async () => {
  small = await makeSmallRuns();
  report = collect(findRuns([small.runs]));
});
afterAll(() => {
  small.remove();
});

const run = (id: string): RunData => {
  const found = report.runs.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`no run ${id}`);
  return found;
};
const record = (id: string) => {
  const found = readPruningRecord(join(small.runs, id));
  if (!found) throw new Error(`no record of ${id}`);
  return found;
};

describe('runs', () => {
  it('are found below a folder, named by their path in it, with what they pruned', () => {
    expect(report.runs.map(({ id, source }) => [id, source])).toEqual([
      ['dense', undefined],
      ['oneshot', 'dense'],
      ['refill', 'dense'],
      ['rsst', 'dense'],
    ]);
    expect(report.runs.every(({ state }) => state === 'finished')).toBe(true);
  });

  it('have sizes and accuracies of their records', () => {
    const { parameters, macs, accuracy } = record('oneshot');
    expect(run('oneshot').size).toMatchObject({ parameters: parameters.after, macs: macs.after });
    expect(run('oneshot').accuracy).toBe(accuracy.after);
    expect(run('oneshot').accuracyBefore).toBe(accuracy.before);
    // Counted from a model of the same shape, not read.
    expect(run('dense').size).toMatchObject({ parameters: parameters.before, macs: macs.before });
  });

  it('have the command that repeats them, ready for a shell', () => {
    expect(run('dense').repeat?.line).toBe(
      "mamba-prune train --arch mamba_nano --out 'it is here'",
    );
    expect(run('dense').repeat?.cwd).toBe(process.cwd());
    expect(run('oneshot').repeat).toBeUndefined();
    expect(run('dense').facts).toContainEqual({ name: 'batchSize', value: '8' });
  });

  it('place the epochs of all trainings on one axis', () => {
    expect(run('dense').epochs.map(({ x }) => x)).toEqual([1, 2, 3]);
    expect(run('refill').phases.map(({ name, before }) => [name, before])).toEqual([
      ['round-1', 0],
      ['round-2', 1],
    ]);
    expect(run('refill').epochs.map(({ x, phase }) => [x, phase])).toEqual([
      [1, 'round-1'],
      [2, 'round-2'],
    ]);
    expect(run('rsst').epochs.map(({ x, phase }) => [x, phase])).toEqual([
      [1, 'rsst-1'],
      [2, 'rsst-1'],
      [3, 'round-1'],
    ]);
  });

  it('have λ and the norms of units for regularised epochs alone', () => {
    const [first, , last] = run('rsst').epochs;
    expect(first?.rsst?.lambda).toBe(100);
    expect(first?.unitNorms?.kinds['ssm']?.doomed?.units).toBeGreaterThan(0);
    expect(last?.rsst).toBeUndefined();
    expect(last?.unitNorms).toBeUndefined();
  });
});

describe('units', () => {
  it('are followed from the dense model to the last round', () => {
    const { rounds } = record('refill');
    const group = run('refill').pruning?.groups.find(({ name }) => name === 'blocks.0.mlp');
    const fates = Array.from(group?.fate ?? '');
    expect(fates).toHaveLength(32);
    for (const [index, fate] of fates.entries()) {
      const kept = rounds.map((round) => round.kept['blocks.0.mlp']?.includes(index));
      const expected = kept[0] === false ? '1' : kept[1] === false ? '2' : '0';
      expect(fate).toBe(expected);
    }
    expect(fates.filter((fate) => fate === '0')).toHaveLength(
      rounds[1]?.widths['blocks.0.mlp'] ?? NaN,
    );
  });

  it('of kinds that were not cut have no fate', () => {
    const group = run('oneshot').pruning?.groups.find(({ kind }) => kind === 'state');
    expect(group).toMatchObject({ before: 3, fate: undefined });
  });

  it('have scores, and the kept ones of a global ranking have the better ones', () => {
    const scores = run('oneshot').pruning?.rounds[0]?.scores;
    expect(scores).toMatchObject({ measure: 'l2 of consumer', ranking: 'global' });
    const file = readRoundScores(join(small.runs, 'oneshot'), 1);
    for (const group of scores?.groups ?? []) {
      const { scores: values } = unpackScores(file?.groups[group.name] as never);
      const of = (fate: string) => [...values].filter((_, i) => group.fates[i] === fate);
      expect(of('k').length + of('x').length).toBe(values.length);
      expect(Math.min(...of('k'))).toBeGreaterThanOrEqual(Math.max(...of('x')));
    }
  });

  it('have scores where they were chosen before they were driven to zero', () => {
    const groups = run('rsst').pruning?.rounds[0]?.scores?.groups ?? [];
    expect(groups.map(({ name }) => name)).toContain('blocks.1.mlp');
    for (const { name, fates } of groups) {
      const kept = record('rsst').rounds[0]?.kept[name] ?? [];
      expect(Array.from(fates).flatMap((fate, i) => (fate === 'k' ? [i] : []))).toEqual(kept);
    }
  });

  it('that refill gave back are marked', () => {
    const groups = run('refill').pruning?.rounds[0]?.scores?.groups ?? [];
    const marked = groups.map(
      ({ fates }) => Array.from(fates).filter((fate) => fate === 'r').length,
    );
    const returned = record('refill').rounds[0]?.returned ?? {};
    expect(marked).toEqual(groups.map(({ name }) => returned[name]?.length));
    expect(Math.max(...marked)).toBeGreaterThan(0);
  });
});

describe('what cannot be shown', () => {
  it('is a usage error: no folder, or one without runs', () => {
    expect(() => findRuns([join(small.folder, 'nowhere')])).toThrow(/does not exist, expected/);
    expect(() => findRuns([small.images])).toThrow(/holds no run, expected the folder of a run/);
  });

  it('is an error that names the file', () => {
    const copy = join(small.folder, 'damaged');
    cpSync(join(small.runs, 'dense'), join(copy, 'dense'), { recursive: true });
    const path = join(copy, 'dense', 'metrics.jsonl');
    writeFileSync(path, `no JSON\n${readFileSync(path, 'utf8')}`);
    expect(() => collect(findRuns([copy]))).toThrow(/line 1 of .*metrics\.jsonl is no JSON/);
  });
});

describe('a run whose config.json is damaged', () => {
  it('is named where there is nothing beside it, and a folder of another program is not', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mp-torn-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const [torn, other] = [join(folder, 'torn'), join(folder, 'other')];
    for (const path of [torn, other]) mkdirSync(path);
    writeFileSync(join(torn, 'config.json'), '{"kind": "mamba-');
    writeFileSync(join(other, 'config.json'), '{"model_type": "vit"}');
    expect(findRunsBelow(folder).damaged).toEqual([torn]);
    expect(() => findRuns([folder])).toThrow(`The config.json of ${torn} is damaged.`);
    const watcher = new Watcher(folder);
    expect(watcher.report().notes).toContain(
      `${torn} was left out: its config.json is damaged, expected that of a run.`,
    );
  });

  it('is named, beside the others and alone', () => {
    const folder = join(small.folder, 'half');
    for (const id of ['dense', 'oneshot']) {
      cpSync(join(small.runs, id), join(folder, id), { recursive: true });
    }
    const damaged = join(folder, 'oneshot');
    writeFileSync(join(damaged, 'config.json'), '{"kind": "mamba-');
    const { runs, notes } = collect(findRuns([folder]));
    expect(runs.map(({ id }) => id)).toEqual(['dense']);
    expect(notes).toEqual([
      `${damaged} was left out: its config.json is damaged, expected that of a run.`,
    ]);
    expect(() => findRuns([damaged])).toThrow(/holds no run.*The config\.json of .*oneshot is dam/);
  });
});

describe('a comparison', () => {
  it('is read from its results, without its runs', () => {
    const folder = join(small.folder, 'comparisons', 'first');
    writeSmallComparison(folder);
    const { comparisons } = collect(findRuns([folder]));
    expect(comparisons).toHaveLength(1);
    expect(comparisons[0]).toMatchObject({
      id: 'first',
      arch: 'mamba_nano',
      done: 21,
      planned: 24,
      finetuneEpochs: 2,
      repeat: { line: "mamba-prune compare --quick --out 'a b'", cwd: '/work' },
    });
    // As the methods: those of one rate together. RSST minus Refill, as `compare` prints it.
    expect(comparisons[0]?.tests.map(({ methods, rate }) => [rate, methods[0]])).toEqual([
      ...[0.5, 0.7].flatMap((rate) => ['rsst', 'oneshot'].map((method) => [rate, method])),
    ]);
    const { tests } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as {
      readonly tests: readonly { readonly difference: number; readonly t: number }[];
    };
    expect(comparisons[0]?.tests[0]).toMatchObject({
      methods: ['rsst', 'refill'],
      difference: -(tests[0]?.difference ?? NaN),
      t: -(tests[0]?.t ?? NaN),
    });
    expect(comparisons[0]?.amountsAt).toEqual([]);
    // Of budgets that were typed as amounts, the larger cut first.
    const file = join(folder, 'results.json');
    const json = JSON.parse(readFileSync(file, 'utf8')) as { methods: object[]; settings: object };
    const settings = {
      ...json.settings,
      budget: 'params',
      amountsAt: [{ rate: 0.7, amount: 1_500_000 }],
    };
    const turned = json.methods.toReversed();
    writeFileSync(file, JSON.stringify({ ...json, methods: turned, settings }));
    const [budgeted] = collect(findRuns([folder])).comparisons;
    expect(budgeted?.amountsAt).toEqual([{ rate: 0.7, amount: '1.5M' }]);
    expect(budgeted?.tests.map(({ rate }) => rate)).toEqual([0.7, 0.7, 0.5, 0.5]);
    writeFileSync(file, '{}');
    expect(() => collect(findRuns([folder]))).toThrow(/results\.json is no file of a comparison/);
  });
});

describe('a comparison with training from scratch', () => {
  it('has its row without a cut, its tests, the corrected p, and who gave the dense model', () => {
    const folder = join(small.folder, 'comparisons', 'scratch');
    writeSmallComparison(folder);
    const path = join(folder, 'results.json');
    const results = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly methods: readonly object[];
      readonly baselineTests: readonly object[];
      readonly runs: readonly { readonly rate: number }[];
      readonly settings: object;
    };
    const { methods, baselineTests, runs, settings } = results;
    const short = [0.25, 0.5].map((reached) => ({ kind: 'ssm', limit: 'min-width', reached }));
    const [first, ...others] = runs.filter(({ rate }) => rate > 0);
    const scratch = { ...methods.at(-1), method: 'scratch', beforeCut: null, afterCut: null };
    const test = { ...baselineTests.at(-1), methods: ['rsst', 'scratch'], pHolm: 0.25 };
    const dense = [{ path: '/models/dense.safetensors', sha256: 'aa' }];
    const changed = {
      ...results,
      methods: [...methods, scratch],
      runs: [{ ...first, shortOfRate: short }, ...others],
      scratchTests: [test],
      settings: {
        ...settings,
        dense,
        seedsAt: [{ rate: 0.7, seeds: [0, 1, 2, 3, 4] }],
        cut: { rateOf: { 'blocks.0.ssm': 0 }, compensate: {} },
      },
    };
    writeFileSync(path, JSON.stringify(changed));
    const [comparison] = collect(findRuns([folder])).comparisons;
    expect(comparison?.methods.at(-1)).toMatchObject({ method: 'scratch', afterCut: null });
    expect(comparison?.tests.find(({ methods: [, other] }) => other === 'scratch')).toMatchObject({
      pHolm: 0.25,
    });
    expect(
      comparison?.tests.find(({ methods: [, other] }) => other === 'refill')?.pHolm,
    ).toBeNull();
    expect(comparison).toMatchObject({
      givenDense: 1,
      ownRates: { 'blocks.0.ssm': 0 },
      isCompensated: true,
      shortOfRates: [{ rate: first?.rate, kind: 'ssm', least: 0.25, most: 0.5 }],
    });
    expect(comparison?.seeds).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('a training from scratch at the size of a pruned model', () => {
  it('is not dense', async () => {
    const out = join(small.folder, 'narrow');
    const settings = {
      ...tinyTraining(small.images),
      widths: { 'blocks.0.mlp': 5 },
      keepEpochs: [],
    };
    (await trainRun(settings, { out })).model.dispose();
    expect(collect(findRuns([out])).runs[0]?.isDense).toBe(false);
    const wrong = { ...settings, widths: { 'blocks.9.mlp': 5 } };
    await expect(trainRun(wrong, { out: `${out}-wrong` })).rejects.toThrow(
      /got widths with the width of blocks\.9\.mlp/,
    );
    const both = { ...settings, init: join(out, 'model.safetensors') };
    await expect(trainRun(both, { out: `${out}-wrong` })).rejects.toThrow(
      /got widths with the weights of .*Leave widths out/,
    );
  });
});

describe('a run whose rate was held back', () => {
  it('tells what is gone', async () => {
    const out = join(small.folder, 'held');
    const source = join(small.runs, 'dense', 'model.safetensors');
    const settings = tinyPruning(source, small.images, {
      ranking: 'global',
      rates: { mlp: 0.9 },
      maxRate: 0.25,
    });
    (await pruneRun(settings, { out })).model.dispose();
    const [run] = collect(findRuns([out])).runs;
    expect(run?.pruning).toMatchObject({ rates: { mlp: 0.9 }, reached: { mlp: 0.25 } });
  });
});

describe('a training that goes on with a pruned model', () => {
  it('is not dense', async () => {
    const folder = join(small.folder, 'on');
    cpSync(small.runs, folder, { recursive: true });
    for (const name of ['dense', 'oneshot']) {
      const init = join(folder, name, 'model.safetensors');
      const settings = { ...tinyTraining(small.images), init, model: {} };
      (await trainRun(settings, { out: join(folder, `${name}-on`) })).model.dispose();
    }
    const { runs } = collect(findRuns([folder]));
    const denseOnes = runs.filter(({ isDense }) => isDense).map(({ id }) => id);
    expect(denseOnes).toEqual(['dense', 'dense-on']);
  });
});

describe('a run that cuts nothing', () => {
  it('is a dense training, whatever its method', async () => {
    const out = join(small.folder, 'uncut');
    const source = join(small.runs, 'dense', 'model.safetensors');
    const settings = tinyPruning(source, small.images, { rates: { ssm: 0, mlp: 0 } });
    (await pruneRun(settings, { out })).model.dispose();
    expect(collect(findRuns([out])).runs.map(({ method }) => method)).toEqual(['train']);
  });
});

describe('runs that were moved', () => {
  it('are known by the content of the model that they pruned', () => {
    const moved = join(small.folder, 'elsewhere', 'of mine');
    cpSync(small.runs, moved, { recursive: true });
    const { runs, studio } = collect(findRuns([moved]));
    expect(runs.map(({ id, source }) => [id, source])).toEqual([
      ['dense', undefined],
      ...['oneshot', 'refill', 'rsst'].map((id) => [id, 'dense']),
    ]);
    expect(studio.line).toBe(`mamba-prune studio '${moved}'`);
  });

  it('are known by the content of the model that they trained on', async () => {
    const [first, moved] = ['goes-on', 'went-on'].map((name) => join(small.folder, name)) as [
      string,
      string,
    ];
    cpSync(join(small.runs, 'dense'), join(first, 'dense'), { recursive: true });
    const init = join(first, 'dense', 'model.safetensors');
    const settings = { ...tinyTraining(small.images), init, model: {} };
    (await trainRun(settings, { out: join(first, 'further') })).model.dispose();
    renameSync(first, moved);
    const { runs } = collect(findRuns([moved]));
    expect(runs.find(({ id }) => id === 'further')?.began?.run).toBe('dense');
  });

  it('tell how large the file was that they pruned, without it', () => {
    const alone = join(small.folder, 'alone');
    cpSync(join(small.runs, 'oneshot'), alone, { recursive: true });
    const config = join(alone, 'config.json');
    const text = readFileSync(config, 'utf8').replaceAll(small.runs, '/somewhere');
    writeFileSync(config, text);
    const pruning = join(alone, 'pruning.json');
    writeFileSync(pruning, readFileSync(pruning, 'utf8').replaceAll(small.runs, '/somewhere'));
    const [only] = collect(findRuns([alone])).runs;
    expect(only?.source).toBeUndefined();
    expect(only?.sizeBefore?.bytes).toBe(run('dense').size?.bytes);
  });
});
