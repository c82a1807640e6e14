// Every table with the longest values that can realistically stand in it: 80 columns, and a narrow terminal.
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { BenchResult } from '../bench/bench.js';
import type { MeasuredAccuracy } from '../export/accuracy.js';
import type { HubForm } from '../export/hub-folder/write-folder.js';
import type { Verification } from '../export/verify.js';
import type { ModelSummary } from '../models/inspect.js';
import type { StepInfo } from '../training/hooks.js';
import type { EpochMetrics } from '../training/metrics-lines.js';
import type { Comparison } from '../workflows/compare/compare.js';
import type { MethodResult, MethodTest } from '../workflows/compare/outcomes.js';
import { rateLimits } from '../workflows/prune/reached-rates.js';
import type { PruningRecord, RoundRecord } from '../workflows/prune/record.js';
import type { PruneRun } from '../workflows/prune/run.js';
import type { TrainRun } from '../workflows/train-run.js';
import { printBench } from './commands/bench.js';
import { printVerified } from './commands/data.js';
import { printEvaluation } from './commands/eval.js';
import { printSummary } from './commands/inspect.js';
import { printModels } from './commands/models.js';
import { printPredictions } from './commands/predict.js';
import { printReport } from './commands/quickstart.js';
import { printTrained } from './commands/train.js';
import { printComparison } from './compare-table.js';
import type { Context } from './context.js';
import { printForms } from './hub-export.js';
import { type OnnxOutcome, onnxFacts, printAccuracy } from './onnx-export.js';
import { pruningHooks } from './pruning-progress.js';
import { printPruningRun } from './pruning-tables.js';
import { visible } from './terminal/text.js';
import { fakeContext } from './testing/fake-context.js';
import { TrainingProgress } from './training-progress.js';

const longName = 'mamba_base_patch16_imagenet_refill_global_taylor_70_percent_seed_2026';
const longPath = `/data/experiments/2026-11-23/${longName}/model.safetensors`;
const className = 'black-and-gold garden spider, Argiope aurantia';
const accuracy = { before: 1, afterCut: 0.1, after: 0.9999 };

const groupNames = Array.from({ length: 24 }, (_, i) => [
  `blocks.${i}.ssm`,
  `blocks.${i}.mlp`,
  `blocks.${i}.dt_rank`,
  `blocks.${i}.state`,
]).flat();
const kindOf = (name: string): string => name.split('.').at(-1) ?? '';
const per = <T>(value: (name: string) => T): Record<string, T> =>
  Object.fromEntries(groupNames.map((name) => [name, value(name)]));

const round: RoundRecord = {
  round: 16,
  rates: { ssm: 0.99, mlp: 0.99 },
  widths: per(() => 1536),
  kept: {},
  parameters: 123_456_789,
  macs: 123_456_789_012,
  accuracy,
  finished: true,
};
const record: PruningRecord = {
  kind: 'mamba-prune pruning',
  format: 2,
  method: 'rsst',
  source: longPath,
  rates: { ssm: 0.99, dt_rank: 0.99 },
  importance: 'l2',
  score: 'norm',
  ranking: 'global',
  normalize: 'none',
  roundTo: 1,
  maxRate: 1,
  perRound: false,
  rewind: 'none',
  plannedRounds: 16,
  kinds: per(kindOf),
  denseWidths: per(() => 1536),
  widthsBefore: per(() => 1536),
  widthsAfter: per(() => 1535),
  kept: {},
  keptInSource: {},
  parameters: { before: 987_654_321, after: 999_499 },
  macs: { before: 987_654_321_012, after: 999_499_999 },
  accuracy,
  rounds: Array.from({ length: 16 }, () => round),
};

const trained = { history: [{ step: 'prune' }, { step: 'finetune' }] };
const cut = { history: [{ step: 'train' }, { step: 'prune' }] };

const method = (name: MethodResult['method'], rate: number): MethodResult => ({
  method: name,
  rate,
  seeds: [0, 1, 2],
  accuracy: 0.0999,
  deviation: 0.1234,
  beforeCut: 1,
  afterCut: 1,
  parameters: 999_400_000,
  macs: 999_400_000_000,
});
const comparison = {
  finished: true,
  path: `/data/experiments/${longName}`,
  settings: {
    train: { arch: longName, dataset: 'tiny-imagenet', recipe: { epochs: 300 } },
    finetune: { epochs: 300 },
    seeds: Array.from({ length: 12 }, (_, i) => i),
    rates: [0.9],
    targets: ['ssm', 'mlp', 'state', 'dt_rank'],
    cut: {
      rateOf: { 'blocks.0.ssm': 0, 'blocks.11.mlp': 0, 'blocks.23.dt_rank': 0.123_456 },
      minWidth: '12.5%',
      rankBy: 'score-per-cost',
      compensate: { target: 'asymmetric', images: 1_234_567 },
      bnBatches: 1000,
    },
    refill: { fillback: 0.1, score: 'gradient', budget: 'keep' },
    rsst: { epochs: 150 },
  },
  results: {
    done: 4,
    planned: 4,
    methods: [
      method('dense', 0),
      { ...method('oneshot', 0.9), accuracy: 1 },
      method('refill', 0.9),
      method('rsst', 0.9),
    ],
    tests: [
      {
        rate: 0.9,
        methods: ['refill', 'rsst'],
        pairs: 12,
        difference: -0.1234,
        deviation: 0.1,
        t: -12.345,
        p: 0.0001,
        interval: [-0.2345, -0.0123],
        pHolm: 0.0001,
        confidence: 0.95,
      } satisfies MethodTest,
    ],
    baselineTests: [],
    runs: [],
  },
} as unknown as Comparison;

const benched = (model: string, batch: number): BenchResult => ({
  model,
  batch,
  medianMs: 0.8765,
  p10Ms: 0.7654,
  p90Ms: 12_345,
  imagesPerSecond: 1_234_567,
  calls: 100,
  speedup: { median: 0.0876, q1: 0.0765, q3: 123.4, min: 0, max: 200 },
});

const group = (name: string): ModelSummary['groups'][number] => ({
  name,
  kind: kindOf(name),
  width: 1535,
  denseWidth: 1536,
  optional: ['dt_rank', 'state'].includes(kindOf(name)),
  parameters: 999_400_000,
  macs: 999_400_000_000,
});
const summary: ModelSummary = {
  arch: 'mamba_small_patch16',
  input: [3, 224, 224],
  classes: 21_843,
  groups: groupNames.map(group),
  rest: { parameters: 999_400_000, macs: 999_400_000_000 },
  parameters: 999_400_000,
  macs: 999_400_000_000,
};
/** Nothing removed from the optional groups, which are then named in a sentence. */
const untouched: ModelSummary = {
  ...summary,
  groups: summary.groups.map((each) => ({ ...each, width: each.denseWidth })),
};

const quick = (name: 'dense' | 'pruned') => ({
  name,
  run: `/data/${longName}/${name}`,
  accuracy: 0.9999,
  parameters: 999_400_000,
  macs: 999_400_000_000,
  fileBytes: 1023 * 2 ** 20,
});

const printed: readonly (readonly [string, (context: Context) => void | Promise<void>])[] = [
  [
    'inspect',
    (context) => {
      printSummary(context, longPath, 2 ** 30, summary, 'tiny-imagenet');
    },
  ],
  [
    'inspect of a dense model',
    (context) => {
      printSummary(context, longPath, 999, untouched, undefined);
    },
  ],
  [
    'models',
    (context) => {
      const model = {
        file: '',
        card: '',
        arch: 'mamba_small',
        classes: 200,
        imageSize: 64,
        channels: 3,
        pruning: null,
        dtype: 'bfloat16',
        sha256: '',
        accuracy: 0.9999,
        parameters: 999_400_000,
        macs: 999_400_000_000,
        bytes: 1023 * 2 ** 20,
      };
      printModels(context, [
        { ...model, name: 'tiny-imagenet/mamba_small-90', dataset: 'tiny-imagenet' },
        { ...model, name: 'cifar10/mamba_tiny', dataset: 'cifar10' },
      ]);
    },
  ],
  [
    'prune',
    (context) =>
      printPruningRun(
        context,
        { path: `/data/${longName}`, record, info: trained } as unknown as PruneRun,
        {},
      ),
  ],
  [
    'prune without training, held back and left with next to nothing',
    (context) => {
      const cutOnly = { before: 1, afterCut: 0.1, after: null };
      const held: PruningRecord = {
        ...record,
        accuracy: cutOnly,
        roundTo: 1024,
        maxRate: 0.123_456,
        leftAlone: ['mlp'],
        importanceReason: 'no images',
        measuredOn: { dataset: 'tiny-imagenet', images: 1_234_567, of: 9_999_999 },
        widthsAfter: per(() => 1),
        reached: { ssm: 0.1234, dt_rank: 0.1234 },
        heldBack: rateLimits.map((limit) => ({ kind: 'dt_rank', limit, groups: groupNames })),
      };
      const model = { config: { imageSize: 224 } };
      const run = { path: `/data/${longName}`, record: held, info: cut, model };
      return printPruningRun(context, run as unknown as PruneRun, {}, { data: '/data/images' });
    },
  ],
  [
    'prune without images',
    (context) => {
      const none = { before: null, afterCut: null, after: null };
      const unknown = { ...record, accuracy: none, importanceReason: 'no images' };
      const run = {
        path: `/data/${longName}`,
        record: unknown,
        info: { ...cut, dataset: 'folder' },
      };
      const model = { config: { imageSize: 224 } };
      return printPruningRun(context, { ...run, model } as unknown as PruneRun, {});
    },
  ],
  [
    'prune of every kind',
    (context) => {
      const rates = { ssm: 0.9, mlp: 0.9, state: 0.9, dt_rank: 0.9 };
      const run = { path: '/data/a', record: { ...record, rates }, info: trained };
      return printPruningRun(context, run as unknown as PruneRun, {});
    },
  ],
  [
    'compare',
    (context) => {
      printComparison(context, comparison);
    },
  ],
  [
    'bench',
    (context) => {
      const models = [longName, longName.replace('refill', 'rsst'), 'dense'];
      printBench(
        context,
        [1, 65_536].flatMap((batch) => models.map((name) => benched(name, batch))),
      );
    },
  ],
  [
    'eval',
    (context) => {
      const classAccuracy = [1, 0.5, NaN, 0];
      const result = { accuracy: 1, top5: 1, loss: 12.34, images: 1_281_167, classAccuracy };
      const classes = [
        className,
        `${className} and another one of those`,
        '一种名字很长的花园蜘蛛'.repeat(5),
      ];
      printEvaluation(context, longPath, 'tiny-imagenet, train images', result, classes);
    },
  ],
  [
    'predict',
    (context) => {
      const names = [className, '一种名字很长的花园蜘蛛的中文名字在这里', 'cat'];
      const top = names.map((name, index) => ({ index, name, probability: 1 - index / 2 }));
      printPredictions(context, [{ path: `${longPath}.jpg`, top }]);
    },
  ],
  [
    'export',
    (context) => {
      const row = { accuracy: 0.9999, loss: 12.3456, images: 10_000, fileBytes: 1023 * 2 ** 20 };
      const outcome: OnnxOutcome = {
        precision: 'float16, int8 weights',
        verifiedOn: 'test images of tiny-imagenet',
        verification: { images: 10_000, maxDifference: 1.234e-5, maxLogit: 123.4 } as Verification,
        accuracy: ['libtorch, float32', 'ONNX, float32', 'ONNX, float16 and int8 weights'].map(
          (model) => ({ ...row, model }),
        ),
      };
      expect(onnxFacts(outcome)[1]?.[1]).toBe('differ by 1.2e-5 at most, the largest is 123');
      context.facts(onnxFacts(outcome));
      printAccuracy(context, outcome);
    },
  ],
  [
    'export --format hf',
    (context) => {
      const verification = { maxDifference: 1.234e-5 } as Verification;
      const accuracy = { accuracy: 0.9999, images: 10_000 } as MeasuredAccuracy;
      const files = ['model.onnx', 'model_fp16.onnx', 'model_quantized.onnx'];
      const forms = files.map((name): HubForm => ({
        file: `onnx/${name}`,
        dtype: 'fp32',
        precision: 'float32',
        fileBytes: 1023 * 2 ** 20,
        verification,
        accuracy,
      }));
      printForms(context, { forms, accuracy });
    },
  ],
  [
    'quickstart',
    (context) => {
      const bench = [1, 64].flatMap((batch) => [benched('dense', batch), benched('pruned', batch)]);
      const models = [quick('dense'), quick('pruned')] as const;
      printReport(context, { models, pruning: record, bench, seconds: 12_345 }, 1000);
    },
  ],
  [
    'train',
    (context) => {
      const run = {
        path: `/data/${longName}`,
        model: { numParameters: () => 999_400_000 },
        result: {
          path: `/data/${longName}/model.safetensors`,
          valAccuracy: 0.9999,
          best: { accuracy: 1, epoch: 300 },
          seconds: 123_456,
          epochs: 300,
        },
      };
      printTrained(context, run as unknown as TrainRun);
    },
  ],
  [
    'data verify',
    (context) => {
      const counts = { train: [732, 1300], test: [50, 50] };
      const report = { name: 'imagenet', dir: `/data/${longName}`, classes: ['a', 'b'], counts };
      printVerified(context, { ...report, ok: true, problems: [], files: [], notes: [] });
    },
  ],
];

/** Paths and commands are there to be copied, and stay whole: a terminal wraps them. */
const toCopy = (coloured: string): boolean => {
  const line = stripVTControlCharacters(coloured).replace(/ \\$/, '');
  return (
    /^ *(\S+ +)?\S*\/\S+$/.test(line) ||
    /^ +(npx )?mamba-prune /.test(line) ||
    / and \.png$/.test(line)
  );
};

const tooLong = (text: string, width: number): string[] =>
  text.split('\n').filter((line) => visible(line) > width && !toCopy(line));

describe('what is printed', () => {
  it.each(printed)('by %s fits 80 columns with the longest values', async (_, print) => {
    const { context, stdout } = fakeContext();
    await print(context);
    expect(stdout().split('\n').length).toBeGreaterThan(2);
    expect(tooLong(stdout(), 80)).toEqual([]);
  });

  it.each(printed)('by %s has colours only if they are asked for', async (_, print) => {
    const escape = '\u001b[';
    const [plain, forced] = [fakeContext(), fakeContext({ env: { FORCE_COLOR: '1' } })];
    await print(plain.context);
    await print(forced.context);
    expect(plain.stdout()).not.toContain(escape);
    expect(forced.stdout()).toContain(escape);
    // Coloured twice, text shows its colours as what a terminal must not obey.
    expect(forced.stdout()).not.toContain(String.raw`\u001b`);
    expect(tooLong(forced.stdout(), 80).map((line) => line.replaceAll(escape, ''))).toEqual([]);
  });

  it('by inspect fits 60 columns without its bars', () => {
    const { context, stdout } = fakeContext({ columns: 60 });
    printSummary(context, longPath, 2 ** 30, summary, 'tiny-imagenet');
    expect(stdout()).toMatch(/blocks\.0\.ssm +1,536 +1,535 +99\.9% +999 M +999 G/);
    expect(tooLong(stdout(), 60)).toEqual([]);
  });

  it('by the quickstart calls slower what took longer, by the times that it shows', () => {
    const { context, stdout } = fakeContext();
    // The rounds say the contrary, as they can where the machine had other work.
    const speedup = { median: 1.2, q1: 1.1, q3: 3, min: 1, max: 3 };
    const bench = [
      benched('dense', 1),
      { ...benched('pruned', 1), medianMs: 0.8765 * 11.4, speedup },
      benched('dense', 64),
      { ...benched('pruned', 64), medianMs: 0.8765 / 2.57, speedup },
    ];
    printReport(
      context,
      { models: [quick('dense'), quick('pruned')], pruning: record, bench, seconds: 1 },
      1,
    );
    expect(stdout()).toMatch(/latency, batch 1 .* 11\.4x slower\n/);
    expect(stdout()).toMatch(/latency, batch 64 .* 2\.57x faster\n/);
  });

  it('by the quickstart gives quartiles of what it says, and says where the ratio lies outside them', () => {
    const shown = (medianMs: number): string => {
      const { context, stdout } = fakeContext();
      const speedup = { median: 0.5, q1: 0.25, q3: 0.8, min: 0.1, max: 4 };
      const bench = [
        { ...benched('dense', 64), medianMs: 10 },
        { ...benched('pruned', 64), medianMs, speedup },
      ];
      const models = [quick('dense'), quick('pruned')] as const;
      printReport(context, { models, pruning: record, bench, seconds: 1 }, 0);
      return stdout().replaceAll(/\s+/g, ' ');
    };
    // Twice as slow, between 1 / 0.8 and 1 / 0.25 times.
    expect(shown(20)).toMatch(/2\.00x slower .* \(1\.25x - 4\.00x\)/);
    expect(shown(20)).not.toContain('outside the quartiles');
    expect(shown(5)).toMatch(/2\.00x faster .* \(0\.250x - 0\.800x\)/);
    expect(shown(5)).toContain('At batch 64 the ratio lies outside the quartiles');
  });

  it('of a comparison have no two blank lines, also where a size has no test', () => {
    const { context, stdout } = fakeContext();
    const none = { tests: [], baselineTests: [], scratchTests: [] };
    const results = { ...comparison.results, ...none };
    const settings = { ...comparison.settings, rates: [0.5, 0.9] };
    printComparison(context, { ...comparison, settings, results });
    expect(stdout()).not.toMatch(/\n\n\n/);
    expect(stdout()).toMatch(/\n\n\s*Accuracy: mean/);
    expect(stdout()).not.toMatch(/Tests:|Holm/);
  });

  it('by the quickstart names no command without what it needs', () => {
    const { context, stdout } = fakeContext();
    const models = [quick('dense'), quick('pruned')] as const;
    printReport(context, { models, pruning: record, bench: [], seconds: 1 }, 1);
    const named = stdout().match(/\S+ mamba-prune compare.*/g);
    expect(named).toEqual(['npx mamba-prune compare --quick --out runs/compare']);
    expect(stdout().replaceAll(/\s+/g, ' ')).toContain(
      'the pruned model was trained for 1 epoch more. The compare command below trains both alike.',
    );
  });

  it('by the quickstart claims no difference where the quartiles lie on both sides of 1', () => {
    const shown = (q1: number, q3: number, medianMs: number): string => {
      const { context, stdout } = fakeContext();
      const speedup = { median: 1, q1, q3, min: 0.5, max: 2 };
      const bench = [
        { ...benched('dense', 64), medianMs: 10 },
        { ...benched('pruned', 64), medianMs, speedup },
      ];
      const models = [quick('dense'), quick('pruned')] as const;
      printReport(context, { models, pruning: record, bench, seconds: 1 }, 0);
      return stdout().replaceAll(/\s+/g, ' ');
    };
    for (const medianMs of [9.5, 10.5, 5]) {
      const text = shown(0.871, 1.09, medianMs);
      expect(text).toMatch(/latency, batch 64 .* no difference shown/);
      expect(text).toContain('At batch 64 the quartiles lie on both sides of 1x');
      expect(text).not.toMatch(/x (faster|slower)/);
    }
    const clear = shown(1.01, 1.09, 9.5);
    expect(clear).toContain('1.05x faster');
    expect(clear).not.toContain('both sides of 1x');
  });

  it('by eval names the precision where it is not float32', () => {
    const result = { accuracy: 0.5, top5: null, loss: 1, images: 10 };
    const shown = (precision?: 'fp32' | 'int8'): string => {
      const { context, stdout } = fakeContext();
      printEvaluation(context, 'a.safetensors', 'cifar10, test images', result, [], precision);
      return stdout();
    };
    expect(shown('int8')).toMatch(/\n {2}precision {2}int8\n/);
    expect(shown('fp32')).toBe(shown());
    expect(shown()).not.toContain('precision');
  });

  it('by bench names each model, however long its name', () => {
    const { context, stdout } = fakeContext();
    const other = longName.replace('2026', '2027');
    printBench(context, [benched(longName, 1), benched(other, 1)]);
    expect(stdout()).toContain(`  ${longName}\n`);
    expect(stdout()).toContain(`  ${other}\n`);
    expect(stdout()).toContain('batch 1');
  });

  it('while training fits 80 columns', async () => {
    const { context, stderr } = fakeContext();
    const hooks = new TrainingProgress(context, 'regularise').hooks();
    const step = { epoch: 1000, epochs: 1000, step: 1, stepsPerEpoch: 10, loss: 1 };
    hooks.onStep?.({ ...step, imagesPerSecond: 1_234_567 } as StepInfo);
    await hooks.onEpoch?.({
      epoch: 1000,
      loss: 1234.5678,
      trainAccuracy: 1,
      valAccuracy: 1,
      lr: 1e-3,
      imagesPerSecond: 1_234_567,
      seconds: 360_000,
    } as EpochMetrics);
    const lines = stderr().trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(tooLong(stderr(), 80)).toEqual([]);
    // Columns stay apart.
    expect(lines[1]?.trim().split(/ +/)).toHaveLength(7);
  });

  it('while pruning fits 80 columns, and breaks no number', () => {
    const { context, stderr } = fakeContext();
    const returned = { ssm: [[1, 2]] } as unknown as RoundRecord['returned'];
    const compensation = { accuracyBefore: 0.1516 } as RoundRecord['compensation'];
    const budget = [] as unknown as PruningRecord['costBudget'];
    const cut = { ...round, round: 1, returned, compensation };
    pruningHooks(context).onCut?.(cut, { ...record, plannedRounds: 1, costBudget: budget });
    expect(stderr().replaceAll(/\s+/g, ' ')).toContain(' -> 15.16%, compensated ');
    expect(tooLong(stderr(), 80)).toEqual([]);
  });
});
