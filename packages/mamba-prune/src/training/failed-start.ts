/** What becomes of the folder of a run that failed, or was stopped, before there was anything to go on with. */
import { existsSync } from 'node:fs';
import { readCheckpointInfo } from './checkpoint.js';
import { StoppedAtStartError, TrainingDivergedError } from './errors.js';
import type { RunFolder } from './run-folder.js';

/**
 * Deletes a run that this process began and in which no step was done, so that the same command can be given again. One that
 * diverged has its steps to be looked at, though none may be in a checkpoint.
 * @param error - that ended it
 */
export function discardFailedStart(run: RunFolder, error: unknown): void {
  if (error instanceof TrainingDivergedError && error.step > 0) return;
  if (isUnderWay(run)) return;
  try {
    run.discard();
  } catch {
    // What ended the run is to be told, and not that its files could not be deleted.
  }
}

/**
 * Of a run that was stopped: where no step was done, one that it was to replace comes back. One that was to replace none stays
 * and can be gone on with.
 * @throws StoppedAtStartError if it did
 */
export function bringBackReplaced(run: RunFolder): void {
  if (!run.replacesAnother || isUnderWay(run)) return;
  run.discard();
  throw new StoppedAtStartError(run.path);
}

/** Whether a step of a training was done. */
export function isUnderWay(run: RunFolder): boolean {
  if (!run.hasTrained) return false;
  if (!existsSync(run.lastCheckpoint) || run.readMetrics().length > 0) return true;
  try {
    // A training saves its beginning too.
    const { epoch, step } = readCheckpointInfo(run.lastCheckpoint);
    return epoch > 0 || step > 0;
  } catch {
    return true;
  }
}
