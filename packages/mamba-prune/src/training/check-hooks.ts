// Hooks as a program gives them, from JavaScript too: a name that nobody calls would be passed over in silence.
import { Tensor } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { shownOrShape } from '../shown-tensor.js';
import type { TrainHooks } from './hooks.js';

const hookKinds: OptionKinds<TrainHooks> & Readonly<Record<'isAtZero', 'function'>> = {
  onStep: 'function',
  onEpoch: 'function',
  onEvaluate: 'function',
  onCheckpoint: 'function',
  onNote: 'function',
  taskLoss: 'function',
  extraLosses: 'array',
  distillation: 'object',
  afterStep: 'function',
  state: 'object',
  replayable: 'boolean',
  epochMetrics: 'function',
  saveModel: 'function',
  // Of the hooks of RSST, which are given as they are.
  isAtZero: 'function',
};

/** @throws UsageError naming a hook that there is not */
export const checkHooks = (hooks: unknown): void => {
  checkOptions('hooks', hooks, hookKinds);
};

/**
 * What a loss of one's own gives.
 * @param where - whose it is
 * @throws UsageError for anything but one number in a tensor
 */
export function requireLoss(where: string, loss: unknown): Tensor {
  if (loss instanceof Tensor && loss.numel === 1) return loss;
  throw new UsageError(
    `${where}: got ${shownOrShape(loss)}, expected the loss of the batch, a tensor of one number. \`.mean()\` makes one of many.`,
  );
}
