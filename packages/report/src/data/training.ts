// How a run was trained after what it began with, as far as it decides whether two runs were trained alike.
import { stableJson } from 'mamba-prune/internal';
import type { RunConfig } from 'mamba-prune/training';
import type { PruningRecord } from 'mamba-prune/workflows';
import type { PhaseData } from '../page-data/epochs.js';
import type { TrainingData } from '../page-data/run.js';

/** What changes no weight, and what is compared by itself. */
const ignored = new Set([
  'epochs',
  'warmupEpochs',
  'plainEpochs',
  'seed',
  'evalEvery',
  'evalBatchSize',
  'maxTestImages',
  'checkpointEvery',
  'logEverySteps',
]);

type Options = Readonly<Record<string, unknown>>;

/** @param phases - those that are planned */
export function trainingOf(
  config: RunConfig,
  record: PruningRecord | undefined,
  phases: readonly PhaseData[],
): TrainingData {
  const options = (config.train ?? {}) as unknown as Options;
  const { distill } = (config['settings'] ?? {}) as { readonly distill?: Options };
  const { name } = (config.dataset ?? {}) as { name?: unknown };
  const { epochs, plainEpochs, warmupEpochs } = options;
  const kept = Object.entries(options).filter(([key]) => !ignored.has(key));
  return {
    ...epochsOf(record, phases),
    // The warm-up is a part of each training, however many there are.
    warmupEpochs: number(warmupEpochs),
    warmupShare: number(epochs) > 0 ? number(warmupEpochs) / number(epochs) : 0,
    recipe: stableJson({
      ...Object.fromEntries(kept),
      distill: distill && withoutPlace(distill),
      dataset: name,
      plain: number(plainEpochs) > 0,
    }),
  };
}

/** A run whose weights went back had the training of its last round, after that of the weights it went back to. */
function epochsOf(
  record: PruningRecord | undefined,
  phases: readonly PhaseData[],
): Pick<TrainingData, 'epochs' | 'isFromStart'> {
  const sum = (some: readonly PhaseData[]): number =>
    some.reduce((total, { epochs }) => total + epochs, 0);
  const rewind = record?.rewind ?? 'none';
  if (rewind === 'none') return { epochs: sum(phases), isFromStart: false };
  const last = sum(
    phases.filter(({ kind, round }) => kind === 'finetune' && round === record?.plannedRounds),
  );
  if (rewind === 'source') return { epochs: last, isFromStart: false };
  const before = Number(/^epoch:(\d+)$/.exec(rewind)?.[1] ?? 0);
  return { epochs: before + last, isFromStart: true };
}

/** A teacher of a file is known by its digest, wherever it lies. */
const withoutPlace = (distill: Options): Options =>
  Object.fromEntries(Object.entries(distill).filter(([name]) => name !== 'teacher'));

const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
