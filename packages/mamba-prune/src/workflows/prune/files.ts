// Where a pruning run keeps its models, besides what every run has. Loads no native code.
import { join } from 'node:path';

/** The model just cut, while its training has not ended. */
export const cutPath = (run: string, round: number): string =>
  join(run, 'checkpoints', `round-${round}-cut.safetensors`);

/** The model after a round; that of the last round is the run's model.safetensors. */
export const roundPath = (run: string, round: number): string =>
  join(run, 'checkpoints', `round-${round}.safetensors`);

/** The run of the dense training, where one job does both. */
export const densePath = (run: string): string => join(run, 'dense');
