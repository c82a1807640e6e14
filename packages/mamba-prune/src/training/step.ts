/** One optimizer step. */
import { noGrad, optim, scope, type Tensor } from '@mamba-prune/libtorch';
import type { Batch } from '../data/index.js';
import { toTensors } from './batches.js';
import { countRight } from './evaluate.js';
import { classificationLoss, distilledLoss } from './losses.js';
import type { Session } from './session.js';
import type { ResolvedTrainOptions, StepContext, TrainHooks } from './types.js';

/** On a GPU the loss is read every so many steps only: each read waits for all work given to it. */
const READ_EVERY = 50;

/** Name of the gradients' norm among the terms. */
export const GRAD_NORM = 'gradNorm';

/** What is summed over an epoch besides loss and right answers. */
export function termNames(hooks: TrainHooks, options: ResolvedTrainOptions): string[] {
  const extra = (hooks.extraLosses ?? []).map(({ name }) => name);
  return [
    ...(extra.length > 0 ? ['task', ...extra] : []),
    ...(options.clipGradNorm === null ? [] : [GRAD_NORM]),
  ];
}

export class TrainStep {
  readonly #parameters: readonly Tensor[];
  #lastLoss = NaN;

  constructor(private readonly session: Session) {
    this.#parameters = session.model.parameters();
  }

  /**
   * Forward, backward, update; everything made on the way is freed.
   * @returns the loss of the step, or of the last one that was read
   * @throws TrainingDivergedError before the weights are touched
   */
  run(batch: Batch, place: Pick<StepContext, 'totalSteps' | 'progress'>): number {
    const { session } = this;
    const { model, optimizer, options, device, dataset, hooks } = session;
    const { epoch, steps: step, lr } = session;
    scope(() => {
      optimizer.zeroGrad();
      session.parallel?.beginStep(session, batch);
      const { images, labels, targets } = toTensors(batch, dataset.info, device);
      const logits = model.forward(images);
      const inputs = { model, images, labels, targets, logits };
      const context: StepContext = { ...inputs, epoch, step, lr, ...place };
      const { loss, terms } = this.#loss(context);
      if (device === 'cpu' || step % READ_EVERY === 0) {
        this.#lastLoss = loss.item();
        if (!Number.isFinite(this.#lastLoss)) session.fail('loss', this.#lastLoss);
      }
      loss.backward();
      session.parallel?.averageGradients();
      if (options.clipGradNorm !== null) {
        const norm = optim.clipGradNorm(this.#parameters, options.clipGradNorm);
        if (!Number.isFinite(norm)) session.fail('gradient norm', norm);
        terms.push(norm);
      }
      for (const term of hooks.extraLosses ?? []) term.addGradient?.(context);
      optimizer.step();
      noGrad(() => hooks.afterStep?.(context));
      session.ema?.update();
      const right = noGrad(() => countRight(logits, targets ? targets.argmax(-1) : labels));
      session.sums.add(batch.size, loss.detach(), right, terms);
    });
    return this.#lastLoss;
  }

  #loss(context: StepContext): { loss: Tensor; terms: (Tensor | number)[] } {
    const { hooks, options } = this.session;
    let task = hooks.taskLoss?.(context) ?? classificationLoss(context, options.labelSmoothing);
    if (hooks.distillation) task = distilledLoss(task, context, hooks.distillation);
    let loss = task;
    const terms = (hooks.extraLosses ?? []).map((term) => {
      const value = term.compute(context);
      if (value) loss = loss.add(value);
      return value?.detach() ?? 0;
    });
    return { loss, terms: terms.length > 0 ? [task.detach(), ...terms] : [] };
  }
}
