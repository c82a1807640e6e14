/**
 * The steps of a training on a GPU: nothing in them waits for the device, and where that is possible a step is recorded
 * once and then replayed as one CUDA graph. So it is in two parts: the work of the device that is the same in
 * every step (`takeStep`), and the counting that JavaScript does. The batch lies in fixed tensors, or
 * the source makes it on the device; what else differs between steps is in the tensors of a `DeviceExecution`.
 *
 * With several workers the sums over them are part of the graph. All of them replay or none does, and each
 * takes every decision of this file as the others do.
 */
import { CudaGraph } from '@mamba-prune/libtorch';
import { type BatchTensors, isOnDevice, type StepBatch, toTensors } from './batches.js';
import { DeviceExecution } from './device-execution.js';
import { FixedInputs } from './fixed-inputs.js';
import { graphObstacle } from './graph-obstacle.js';
import type { Session } from './session.js';
import { type StepInput, takeStep } from './step.js';
import type { StepPlace, TrainStep } from './train-step.js';

/** The loss is read every so many steps only: each read waits for all work given to the device. */
const readEvery = 50;

/** Steps before the capture: libraries allocate and choose their kernels in the first ones. */
const warmUp = 3;

export class DeviceStep implements TrainStep {
  readonly #execution: DeviceExecution;
  #inputs: FixedInputs | undefined;
  #graph: CudaGraph | undefined;
  /** Images of a captured step, of all workers together: that of each follows. */
  #size = 0;
  /** What its batches are made with. */
  #augment: object | undefined;
  #warm = 0;
  #obstacle: string | undefined;
  #lastLoss = NaN;

  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.#execution = new DeviceExecution(session);
    try {
      this.#stepByStep(this.#agreed(graphObstacle(session)));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  get graph(): string {
    return this.#obstacle ?? 'replayed';
  }

  run(batch: StepBatch, place: StepPlace): number {
    const session = this.#session;
    session.parallel?.seedStep(session);
    this.#execution.prepare(session.stepNumbers(place));
    const tensors = this.#place(batch);
    if (tensors && this.#capture({ tensors, batch })) {
      this.#graph?.replay();
    } else {
      // A launch may wait for the device, where it has to find memory, say.
      if (this.#graph) this.#settle();
      const fresh = tensors ?? (() => this.#freshTensors(batch));
      takeStep(session, this.#execution, { tensors: fresh, batch });
    }
    this.#execution.count(batch.size);
    if (session.steps % readEvery === 0 || Number.isNaN(this.#lastLoss)) this.check();
    return this.#lastLoss;
  }

  /**
   * Puts a batch where captured steps find it.
   * @returns where that is; undefined if the batch is not one of those
   */
  #place(batch: StepBatch): (() => BatchTensors) | undefined {
    const { device, dataset } = this.#session;
    if (this.#obstacle !== undefined) return undefined;
    const { size, globalSize = size } = batch;
    if (this.#size === 0) this.#size = globalSize;
    if (globalSize !== this.#size) return undefined;
    if (isOnDevice(batch)) {
      if (batch.augment !== this.#augment) this.#recapture(batch.augment);
      return () => batch.next();
    }
    this.#inputs ??= new FixedInputs(batch, dataset.info, device);
    const inputs = this.#inputs;
    if (!inputs.fits(batch)) return undefined;
    // The copy from the host's memory waits for the steps before it.
    if (this.#graph) this.#settle();
    inputs.write(batch);
    return () => inputs.tensors();
  }

  #freshTensors(batch: StepBatch): BatchTensors {
    const { device, dataset } = this.#session;
    return toTensors(batch, dataset.info, device);
  }

  /**
   * The augmentation is an argument of the kernel that makes the batch, and so a constant of the graph.
   * It changes once in a training at most (`plainEpochs`): four steps in place of an argument that every
   * step would read from the device.
   */
  #recapture(augment: object | undefined): void {
    this.#augment = augment;
    this.#warm = 0;
    if (!this.#graph) return;
    // Replays may still be under way.
    this.check();
    this.#dropGraph();
  }

  /** @returns whether there is a graph of this step */
  #capture(input: StepInput): boolean {
    if (this.#graph) return true;
    if (this.#warm < warmUp) {
      this.#warm++;
      return false;
    }
    const session = this.#session;
    // They would be held beside those that the graph has of its own.
    session.optimizer.zeroGrad();
    const captured = CudaGraph.attempt(
      session.device,
      () => {
        takeStep(session, this.#execution, { ...input, recording: true });
      },
      session.control.graphBackend,
    );
    if (typeof captured !== 'string') this.#graph = captured;
    const obstacle = this.#agreed(typeof captured === 'string' ? captured : undefined);
    if (obstacle === undefined) return true;
    // Half a step was recorded and nothing of it run: it is done anew, as all after it, without a graph.
    this.#dropGraph();
    this.#stepByStep(obstacle);
    return false;
  }

  /** Of all workers: why this or another one cannot capture its step. */
  #agreed(own: string | undefined): string | undefined {
    const { parallel } = this.#session;
    return parallel ? parallel.obstacle(own) : own;
  }

  #stepByStep(obstacle: string | undefined): void {
    this.#obstacle = obstacle;
    if (obstacle === undefined) return;
    this.#session.hooks.onNote?.(`Training on ${this.#session.device} step by step: ${obstacle}.`);
  }

  #dropGraph(): void {
    // The gradients of a captured step lie in the graph's memory.
    this.#session.optimizer.zeroGrad();
    this.#graph?.dispose();
    this.#graph = undefined;
  }

  /** Before anything that waits for the device. */
  #settle(): void {
    const { parallel, device } = this.#session;
    parallel?.settle(device);
  }

  /** Happens by itself every 50 steps, so the error may name a step that much later. */
  check(): void {
    this.#settle();
    const { loss, badLosses, badNorms } = this.#execution.read();
    if (badLosses > 0) this.#session.fail('loss', Number.isFinite(loss) ? NaN : loss);
    if (badNorms > 0) this.#session.fail('gradient norm', NaN);
    this.#lastLoss = loss;
  }

  dispose(): void {
    this.#dropGraph();
    this.#inputs?.dispose();
    this.#execution.dispose();
  }
}
