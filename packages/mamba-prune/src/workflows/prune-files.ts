// Where a pruning run keeps its models, besides what every run has.
import { join } from 'node:path';

/** The model just cut, while its training has not ended. */
export const cutPath = (run: string, round: number): string =>
  join(run, 'checkpoints', `round-${round}-cut.safetensors`);

/** The model after a round; that of the last round is the run's model.safetensors. */
export const roundPath = (run: string, round: number): string =>
  join(run, 'checkpoints', `round-${round}.safetensors`);
