// Which units a round's regularised training pushes towards zero: chosen once, or anew every few epochs
// (`rechoose`). Each choice stands in the record before the epochs that it is for, so that a run which is resumed
// in any of them goes on with the same.
import { existsSync } from 'node:fs';
import { readCheckpointInfo } from '../../training/checkpoint.js';
import type { RunFolder } from '../../training/run-folder.js';
import type { PruningRecord } from './record.js';

type Wanted = NonNullable<PruningRecord['wanted']>;
type Units = Wanted['kept'];

interface Choice extends Pick<Wanted, 'kept' | 'norms'> {
  readonly epoch: number;
}

const choicesOf = (wanted: Wanted): { epoch: number; kept: Units }[] => [
  ...(wanted.earlier ?? []),
  { epoch: wanted.epoch ?? 0, kept: wanted.kept },
];

/** The units that were to stay when `epoch` regularised epochs of the round were done; undefined if not yet chosen. */
export function wantedSince(
  { wanted }: Pick<PruningRecord, 'wanted'>,
  round: number,
  epoch: number,
): Units | undefined {
  if (wanted?.round !== round) return undefined;
  return choicesOf(wanted).find((choice) => choice.epoch === epoch)?.kept;
}

/**
 * With a choice of a round; those that were made later, and are made again, go. The norms stay those of the round's first
 * choice: units that are chosen anew have shrunk already, most of them.
 */
export function withWanted(
  { wanted }: Pick<PruningRecord, 'wanted'>,
  round: number,
  { epoch, kept, norms }: Choice,
): Wanted {
  if (epoch === 0 || wanted?.round !== round) return { round, kept, norms };
  const earlier = choicesOf(wanted).filter((choice) => choice.epoch < epoch);
  return { round, kept, norms: wanted.norms, epoch, earlier };
}

/**
 * The regularised epochs, divided at those after which units are chosen anew, from the division on in which the
 * training goes on.
 * @param every - epochs between two choices
 * @param done - epochs of the round's regularised training that are done
 */
export function remainingParts(
  record: Pick<PruningRecord, 'wanted'>,
  round: number,
  {
    epochs,
    every,
    done,
  }: { readonly epochs: number; readonly every: number; readonly done: number },
): { readonly from: number; readonly until: number }[] {
  const starts = Array.from({ length: Math.ceil(epochs / every) }, (_, i) => i * every);
  // Where a part has just ended, the weights to choose by are those that it ended with: it is opened once more.
  const open = starts.findLast(
    (from) => from <= done && (from === 0 || wantedSince(record, round, from) !== undefined),
  );
  return starts
    .filter((from) => from >= (open ?? 0))
    .map((from) => ({ from, until: Math.min(from + every, epochs) }));
}

/** Epochs of a phase that the checkpoint to go on from has done; 0 if it is of another phase, or there is none. */
export function epochsDone(run: RunFolder, phase: string): number {
  for (const path of [run.lastCheckpoint, run.previousCheckpoint]) {
    if (!existsSync(path)) continue;
    try {
      const state = readCheckpointInfo(path);
      return state.phase === phase ? state.epoch : 0;
    } catch {
      // Damaged: it is the one before, or the training says so.
    }
  }
  return 0;
}
