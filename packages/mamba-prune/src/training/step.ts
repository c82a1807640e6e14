/**
 * What a training step is. It is written here alone: the step of the CPU, that of a GPU, captured or not, and the
 * search for a batch size that fits all take this one. Where the batch comes from is the caller's; how the
 * device is given the work is an `Execution`.
 */
import { F, noGrad, scope, type Tensor } from '@mamba-prune/libtorch';
import { checkLogits } from '../models/family-results.js';
import type { BatchSize, BatchTensors } from './batches.js';
import { countRight } from './evaluate.js';
import type { StepContext, StepNumbers } from './step-context.js';
import { stepLoss } from './step-loss.js';
import type { StepParts } from './step-parts.js';

/** How a step's work is given to the device: each result waited for, or none. */
export interface Execution {
  /** Of the step that was prepared last. */
  readonly numbers: StepNumbers;
  /** For `StepContext`. */
  readonly scalar: StepContext['scalar'];
  /** Before a step, whether its work is launched or replayed. */
  prepare(numbers: StepNumbers): void;
  /**
   * Before the work of a step is launched.
   * @param recording - the work is not done yet, but captured
   */
  begin(recording: boolean): void;
  /** @param loss - 0-d, before backward */
  seeLoss(loss: Tensor): void;
  /** Clips the gradients. @returns their norm before, a number or 0-d */
  clip(maxNorm: number): Tensor | number;
  /** The optimizer's update. @param loss - as for `seeLoss` */
  update(loss: Tensor): void;
  /** The update of the averaged weights, if there are any. */
  average(): void;
  /** After a step, launched or replayed: what JavaScript counts. @param size - images of this worker */
  count(size: number): void;
  dispose(): void;
}

/** What one step is given. */
export interface StepInput {
  /** Makes the batch's tensors, or finds them. What is made is freed with the step. */
  readonly tensors: () => BatchTensors;
  readonly batch: BatchSize;
  /** Whether the work is captured, to be replayed; default false. */
  readonly recording?: boolean;
}

/** Forward, backward, update; to be prepared before, and counted after. Everything made on the way is freed. */
export function takeStep(parts: StepParts, execution: Execution, input: StepInput): void {
  const { model, optimizer, options, hooks, parallel } = parts;
  const { batch, recording = false } = input;
  execution.begin(recording);
  scope(() => {
    optimizer.zeroGrad();
    parallel?.beginGradients(batch);
    const { images: given, labels, targets } = input.tensors();
    const images = given.to(parts.imageType);
    const logits = F.atLeastFloat32(checkLogits(model.forward(images), images.size(0)));
    const inputs = { model, images, labels, targets, logits };
    const { numbers, scalar } = execution;
    const context: StepContext = { ...inputs, ...numbers, scalar };
    const { loss, terms } = stepLoss(context, hooks, options);
    execution.seeLoss(loss);
    loss.backward();
    parallel?.averageGradients();
    if (options.clipGradNorm !== null) terms.push(execution.clip(options.clipGradNorm));
    for (const term of hooks.extraLosses ?? []) term.addGradient?.(context);
    execution.update(loss);
    noGrad(() => hooks.afterStep?.(context));
    parts.weightsChanged();
    execution.average();
    const right = noGrad(() => countRight(logits, targets ? targets.argmax(-1) : labels));
    parts.sums.launch(batch.size, loss.detach(), right, terms);
  });
}
