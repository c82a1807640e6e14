/** One optimizer step. */
import { F, full, noGrad, optim, scope, type Tensor } from '@mamba-prune/libtorch';
import { type StepBatch, toTensors } from './batches.js';
import { DeviceStep } from './device-step.js';
import { countRight } from './evaluate.js';
import type { Session } from './session.js';
import { stepLoss } from './step-loss.js';
import type { StepContext } from './types.js';

/** Where a step stands in the training. */
export type StepPlace = Pick<StepContext, 'totalSteps' | 'progress'>;

export interface TrainStep {
  /** How the step is given to the GPU, for the metrics; undefined on the CPU. */
  readonly graph: string | undefined;
  /**
   * Forward, backward, update; everything made on the way is freed.
   * @returns the loss of the step, or of the last one that was read
   * @throws TrainingDivergedError
   */
  run(batch: StepBatch, place: StepPlace): number;
  /**
   * Waits until the steps are done; before anything is made of their outcome.
   * @throws TrainingDivergedError if one of them was not finite
   */
  check(): void;
  dispose(): void;
}

/** The step of the CPU waits for each result; that of a GPU for none. */
export function makeStep(session: Session): TrainStep {
  const onDevice = session.device.startsWith('cuda') || session.control.graphBackend !== undefined;
  return onDevice ? new DeviceStep(session) : new HostStep(session);
}

/** A step that fails before it touches the weights if loss or gradients are not finite. */
class HostStep implements TrainStep {
  readonly graph = undefined;
  readonly #parameters: readonly Tensor[];

  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.#parameters = session.model.parameters();
  }

  run(batch: StepBatch, place: StepPlace): number {
    const session = this.#session;
    const { model, optimizer, options, device, dataset, hooks } = session;
    const { epoch, steps: step, lr } = session;
    return scope(() => {
      optimizer.zeroGrad();
      session.parallel?.seedStep(session);
      session.parallel?.beginGradients(batch);
      const { images, labels, targets } = toTensors(batch, dataset.info, device, session.imageType);
      const logits = F.atLeastFloat32(model.forward(images));
      const inputs = { model, images, labels, targets, logits };
      const numbers = { epoch, step, lr, ...place };
      const scalar: StepContext['scalar'] = (value) => full([], value(numbers), { device });
      const context: StepContext = { ...inputs, ...numbers, scalar };
      const { loss, terms } = stepLoss(context, hooks, options);
      const value = loss.item();
      if (!Number.isFinite(value)) session.fail('loss', value);
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
      session.weightsChanged();
      session.ema?.update();
      const right = noGrad(() => countRight(logits, targets ? targets.argmax(-1) : labels));
      session.sums.add(batch.size, loss.detach(), right, terms);
      return value;
    });
  }

  check(): void {
    // Each step was checked.
  }

  dispose(): void {
    // Nothing is kept between steps.
  }
}
