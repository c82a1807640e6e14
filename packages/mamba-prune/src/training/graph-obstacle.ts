/** Whether the steps of a training can be captured as one CUDA graph. */
import { CudaGraph } from '@mamba-prune/libtorch';
import type { Session } from './session.js';

/**
 * Why they cannot, in words that complete "step by step: "; undefined if nothing is known to be in the
 * way. A replay repeats what was recorded: whatever JavaScript decides anew in each step would stay as
 * it was, unless hooks say that they see to it. A teacher (distillation) does not change, and is no obstacle.
 */
export function graphObstacle({
  device,
  hooks,
  control,
}: Pick<Session, 'device' | 'hooks' | 'control'>): string | undefined {
  if (control.graph === false) return 'graphs are switched off';
  const impossible = CudaGraph.obstacle(device, control.graphBackend);
  if (impossible !== undefined) return impossible;
  if (hooks.replayable) return undefined;
  if (hooks.taskLoss) return 'a hook computes the loss (taskLoss)';
  const [term] = hooks.extraLosses ?? [];
  if (term) return `the loss term ${term.name} is computed anew in every step`;
  if (hooks.afterStep) return 'a hook is called after every step (afterStep)';
  return undefined;
}
