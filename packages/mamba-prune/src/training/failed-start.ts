/** What becomes of the folder of a run that failed before there was anything to go on with. */
import { existsSync } from 'node:fs';
import { readCheckpointInfo } from './checkpoint.js';
import { TrainingDivergedError } from './errors.js';
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

function isUnderWay(run: RunFolder): boolean {
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
