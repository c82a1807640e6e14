/** What a step minimises, and what is summed of it over an epoch. */
import type { Tensor } from '@mamba-prune/libtorch';
import { requireLoss } from './check-hooks.js';
import type { TrainHooks } from './hooks.js';
import { classificationLoss, distilledLoss } from './losses.js';
import type { StepContext } from './step-context.js';
import type { ResolvedTrainOptions } from './train-options.js';

/** Name of the gradients' norm among the terms. */
export const gradNormTerm = 'gradNorm';

/** What is summed over an epoch besides loss and right answers. */
export function termNames(hooks: TrainHooks, options: ResolvedTrainOptions): string[] {
  const extra = (hooks.extraLosses ?? []).map(({ name }) => name);
  return [
    ...(extra.length > 0 ? ['task', ...extra] : []),
    ...(options.clipGradNorm === null ? [] : [gradNormTerm]),
  ];
}

export interface StepLoss {
  /** 0-d */
  readonly loss: Tensor;
  /** In the order of `termNames`, without the gradients' norm. */
  readonly terms: (Tensor | number)[];
}

export function stepLoss(
  context: StepContext,
  hooks: TrainHooks,
  options: ResolvedTrainOptions,
): StepLoss {
  let task = hooks.taskLoss
    ? requireLoss('hooks: taskLoss', hooks.taskLoss(context))
    : classificationLoss(context, options.labelSmoothing);
  if (hooks.distillation) task = distilledLoss(task, context, hooks.distillation);
  let loss = task;
  const terms = (hooks.extraLosses ?? []).map((term) => {
    const value = term.compute(context);
    if (value) loss = loss.add(requireLoss(`hooks: extraLosses: ${term.name}`, value));
    return value?.detach() ?? 0;
  });
  return { loss, terms: terms.length > 0 ? [task.detach(), ...terms] : [] };
}
