// For tests: the data of a report about any number of runs with long names, without the runs.
import type { EpochPoint } from '../page-data/epochs.js';
import type { GroupData, RoundData } from '../page-data/pruning.js';
import type { ReportData } from '../page-data/report.js';
import type { RunData, RunMethod } from '../page-data/run.js';

const methods: readonly RunMethod[] = ['train', 'oneshot', 'refill', 'rsst'];
const repeat = { cwd: '/work', line: 'mamba-prune prune runs/dense --rate 0.7' };
const recipe = { warmupEpochs: 0, warmupShare: 0, recipe: 'same', isFromStart: false };

const nameOf = (method: RunMethod, i: number): string =>
  `imagenet-resnet50-${method === 'train' ? 'dense-baseline' : `${method}-global-taylor-70-percent`}/seed-${i}`;

/** Accuracies lie close together, as they do where methods are compared. */
function epochsOf(i: number, count: number): EpochPoint[] {
  return Array.from({ length: count }, (_, epoch) => ({
    phase: 'round-1',
    epoch: epoch + 1,
    x: epoch + 1,
    lr: 1e-3 * (1 - epoch / count),
    seconds: 10,
    loss: 2 / (epoch + 1),
    trainAccuracy: 0.8,
    valLoss: 1.9 / (epoch + 1),
    valAccuracy: 0.9 + 0.0004 * ((7 * i) % 13) + 0.001 * epoch,
    imagesPerSecond: 12_345,
  }));
}

/** A bottleneck network has three convolutions in every block, of which two are pruned. */
const groupNames = [1, 2, 3, 4].flatMap((layer) =>
  [0, 1, 2, 3, 4, 5].flatMap((block) =>
    ['conv1', 'conv2'].map((conv) => `layer${layer}.${block}.${conv}`),
  ),
);

function pruningOf(method: RunMethod): RunData['pruning'] {
  const rounds = method === 'refill' ? 5 : 1;
  const dense = 2048;
  const groups = groupNames.map((name): GroupData => ({
    name,
    kind: 'channels',
    dense,
    before: dense,
    fate: undefined,
  }));
  return {
    rates: { channels: 0.7 },
    plannedRounds: rounds,
    groups,
    rounds: Array.from({ length: rounds }, (_, j): RoundData => ({
      round: j + 1,
      rates: { channels: 0.7 },
      returned: {},
      finished: true,
      widths: Object.fromEntries(groupNames.map((name, i) => [name, 1500 - 17 * i])),
      parameters: 1e6,
      macs: 1e8,
      scores: undefined,
      accuracy: { before: 0.91, afterCut: 0.5, after: 0.9 },
    })),
  };
}

function runOf(i: number): RunData {
  const method = methods[i % methods.length] ?? 'train';
  const isDense = method === 'train';
  const epochs = epochsOf(i, 12);
  const id = nameOf(method, Math.floor(i / methods.length));
  const root = nameOf('train', 0);
  const isRoot = id === root;
  const pruning = isDense ? undefined : pruningOf(method);
  const phase = { name: 'round-1', epochs: 12, before: 0, round: 1, kind: 'finetune' as const };
  return {
    id,
    path: `/runs/${id}`,
    method,
    state: 'finished',
    created: '2026-01-01T00:00:00Z',
    arch: 'resnet50',
    dataset: { name: 'imagenet' },
    seed: i,
    repeat,
    facts: [],
    source: isDense ? undefined : root,
    isDense,
    began: isRoot ? undefined : { run: root, model: root },
    training: { ...recipe, epochs: 12 },
    accuracy: 0.9 + 0.0004 * ((7 * i) % 13) + 0.0001 * (i % 3),
    size: {
      parameters: isDense ? 25_557_032 : 8_000_000 + 1234 * (i % 5),
      macs: isDense ? 4.1e9 : 1.2e9 + 1e6 * (i % 7),
      bytes: isDense ? 102_400_000 : 32_000_000,
    },
    sizeBefore: isDense ? undefined : { parameters: 25_557_032, macs: 4.1e9, bytes: 102_400_000 },
    accuracyBefore: isDense ? null : 0.91,
    epochs,
    steps: [],
    phases: [phase],
    pruning,
  };
}

/** @param count - of runs; 2 are a dense one and one that is pruned */
export function manyRuns(count: number): ReportData {
  const compared = ['dense', 'oneshot', 'refill', 'rsst', 'a_method_of_another_version'];
  const costOf = (rate: number) => ({ parameters: 25e6 * (1 - rate), macs: 4.1e9 * (1 - rate) });
  const results = compared.flatMap((method, m) =>
    (method === 'dense' ? [0] : [0.5, 0.7, 0.9]).map((rate) => ({
      method,
      rate,
      seeds: [0, 1, 2],
      accuracy: 0.9 + 0.001 * m,
      deviation: 0.002,
      beforeCut: 0.91,
      afterCut: 0.4,
      ...costOf(rate),
    })),
  );
  return {
    kind: 'mamba-prune report',
    format: 1,
    version: '0.1.0',
    created: '2026-01-01T00:00:00Z',
    studio: { cwd: '', line: 'mamba-prune studio /runs' },
    runs: Array.from({ length: count }, (_, i) => runOf(i)),
    comparisons: [
      {
        id: 'first',
        arch: 'resnet50',
        dataset: 'imagenet',
        targets: ['channels'],
        budget: undefined,
        amountsAt: [],
        seeds: [0, 1, 2],
        epochs: 90,
        finetuneEpochs: 30,
        regularizedEpochs: 10,
        givenDense: 0,
        ownRates: {},
        isCompensated: false,
        shortOfRates: [],
        done: 39,
        planned: 39,
        repeat,
        methods: results,
        runs: results.flatMap((result) =>
          result.seeds.map((seed) => ({
            method: result.method,
            rate: result.rate,
            seed,
            run: `seed-${seed}`,
            accuracy: result.accuracy + 0.001 * (seed - 1),
            ...costOf(result.rate),
          })),
        ),
        tests: [],
      },
    ],
    notes: [],
  };
}
