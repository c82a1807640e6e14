/** The steps of a training on the CPU: one fails before it touches the weights if loss or gradients are not finite. */
import { type StepBatch, toTensors } from './batches.js';
import { HostExecution } from './host-execution.js';
import type { Session } from './session.js';
import { takeStep } from './step.js';
import type { StepPlace, TrainStep } from './train-step.js';

export class HostStep implements TrainStep {
  readonly graph = undefined;
  readonly #execution: HostExecution;

  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.#execution = new HostExecution(session, (quantity, value) =>
      session.fail(quantity, value),
    );
  }

  run(batch: StepBatch, place: StepPlace): number {
    const session = this.#session;
    const execution = this.#execution;
    const { device, dataset } = session;
    session.parallel?.seedStep(session);
    execution.prepare(session.stepNumbers(place));
    const tensors = () => toTensors(batch, dataset.info, device, session.imageType);
    takeStep(session, execution, { tensors, batch });
    execution.count(batch.size);
    return execution.loss;
  }

  check(): void {
    // Each step was checked.
  }

  dispose(): void {
    this.#execution.dispose();
  }
}
