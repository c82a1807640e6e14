// The trainings that a run consists of.
import type { MetricsLine, RunConfig } from 'mamba-prune/training';
import type { PruningRecord } from 'mamba-prune/workflows';
import type { PhaseData } from './types.js';

/** `epochs` of `settings.rsst` and of the recipe, as far as they are of use here. */
interface PruneTraining {
  readonly method?: string;
  readonly rsst?: { readonly epochs?: number };
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
  { plannedRounds, method }: PruningRecord,
  lines: readonly MetricsLine[],
): PhaseData[] {
  const { rsst, recipe } = (config['settings'] ?? {}) as PruneTraining;
  const tuned = recipe?.epochs ?? config.train?.epochs ?? 0;
  const regularized = method === 'rsst' ? (rsst?.epochs ?? tuned) : 0;
  const phases: PhaseData[] = [];
  for (let round = 1; round <= plannedRounds; round++) {
    const add = (kind: PhaseData['kind'], name: string, epochs: number): void => {
      if (epochs > 0) phases.push({ name, epochs, before: end(phases), round, kind });
    };
    add('regularize', `rsst-${round}`, regularized);
    const name = `round-${round}`;
    add('finetune', name, tuned);
    const last = phases.at(-1);
    if (last?.name === name && countsOn(name, regularized, lines)) {
      phases[phases.length - 1] = { ...last, epochsBefore: regularized };
    }
  }
  return phases;
}

/** Whether a phase goes on with the training of the one before (`--lr-through`), and with its epochs' numbers. */
function countsOn(phase: string, before: number, lines: readonly MetricsLine[]): boolean {
  const own = lines.filter((line) => line.phase === phase);
  return before > 0 && own.length > 0 && own.every(({ epoch }) => epoch > before);
}
