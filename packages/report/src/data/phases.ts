// The trainings that a run consists of.
import type { MetricsLine, RunConfig } from 'mamba-prune/training';
import type { PruningRecord } from 'mamba-prune/workflows';
import type { PhaseData } from '../page-data/epochs.js';

/** `epochs` and `cuts` of `settings.rsst`, and `epochs` of of the recipe, as far as they are of use here. */
interface PruneTraining {
  readonly method?: string;
  readonly rsst?: { readonly epochs?: number; readonly cuts?: number };
  readonly recipe?: { readonly epochs?: number };
}

/** Those that are planned, in order; a dense training is one. */
export function phasesOf(
  config: RunConfig,
  record: PruningRecord | undefined,
  lines: readonly MetricsLine[],
): PhaseData[] {
  const planned = record ? pruningPhases(config, record, lines) : trainingPhase(config);
  const known = new Set(planned.map(({ name }) => name));
  // Of a kind of run that is not known here: shown after the others.
  const others = [...new Set(lines.map(({ phase }) => phase))].filter((name) => !known.has(name));
  return others.reduce<PhaseData[]>((phases, name) => {
    const own = lines.filter((line) => line.phase === name);
    const epochs = own.reduce((most, { epoch }) => Math.max(most, epoch), 0);
    return [...phases, { name, epochs, before: end(phases), round: 0, kind: 'train' }];
  }, planned);
}

const end = (phases: readonly PhaseData[]): number => {
  const last = phases.at(-1);
  return last ? last.before + last.epochs : 0;
};

function trainingPhase({ train }: RunConfig): PhaseData[] {
  return [{ name: 'train', epochs: train?.epochs ?? 0, before: 0, round: 0, kind: 'train' }];
}

function pruningPhases(
  config: RunConfig,
  { plannedRounds, method, rounds }: PruningRecord,
  lines: readonly MetricsLine[],
): PhaseData[] {
  const { rsst, recipe } = (config['settings'] ?? {}) as PruneTraining;
  const tuned = recipe?.epochs ?? config.train?.epochs ?? 0;
  const regularized = method === 'rsst' ? (rsst?.epochs ?? tuned) : 0;
  const cuts = rsst?.cuts ?? 1;
  const phases: PhaseData[] = [];
  let done = 0;
  for (let round = 1; round <= plannedRounds; round++) {
    const add = (kind: PhaseData['kind'], epochs: number, epochsBefore: number): void => {
      if (epochs <= 0) return;
      const name = kind === 'regularize' ? `rsst-${round}` : `round-${round}`;
      const phase = { name, epochs, before: end(phases), round, kind };
      const counted = countsOn(name, epochsBefore, lines);
      phases.push({ ...phase, ...(counted && { epochsBefore }) });
    };
    // Of one training that is cut several times, each cut ends a portion; a training that is cut once ends with it.
    const cutAfter = rounds[round - 1]?.cutAfterEpoch;
    const planned = cuts > 1 ? Math.round((round * regularized) / cuts) : regularized;
    const from = cuts > 1 ? done : 0;
    const until = cutAfter ?? planned;
    add('regularize', until - from, from);
    done = until;
    if (cuts > 1 && round < plannedRounds) continue;
    add('finetune', regularized + tuned - until, until);
  }
  return phases;
}

/** Whether a phase goes on with the training of the one before (`--lr-through`), and with its epochs' numbers. */
function countsOn(phase: string, before: number, lines: readonly MetricsLine[]): boolean {
  const own = lines.filter((line) => line.phase === phase);
  return before > 0 && own.length > 0 && own.every(({ epoch }) => epoch > before);
}
