/** The steps of a training, one after another, as its loop takes them. */
import type { StepBatch } from './batches.js';
import { DeviceStep } from './device-step.js';
import { HostStep } from './host-step.js';
import type { Session } from './session.js';
import type { StepNumbers } from './step-context.js';

/** Where a step stands in the training. */
export type StepPlace = Pick<StepNumbers, 'totalSteps' | 'stepsPerEpoch' | 'progress'>;

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
