/**
 * The step on a GPU: nothing in it waits for the device, and where that is possible it is recorded once
 * and then replayed as one CUDA graph. So it is in two parts: `#launch`, work of the device that is the
 * same in every step, and the counting that JavaScript does.
 *
 * What differs between steps lies in tensors: the batch in fixed ones (or the source makes it on the
 * device), learning rate, step counts and the decay of the averages in scalars.
 *
 * With several workers the sums over them are part of the graph. All of them replay or none does, and each
 * takes every decision of this file as the others do.
 */
import { CudaGraph, F, noGrad, optim, scope, type Tensor, zeros } from '@mamba-prune/libtorch';
import {
  type BatchSize,
  type BatchTensors,
  isOnDevice,
  type StepBatch,
  toTensors,
} from './batches.js';
import { countRight } from './evaluate.js';
import { FixedInputs } from './fixed-inputs.js';
import { graphObstacle } from './graph-obstacle.js';
import type { Session } from './session.js';
import { stepLoss } from './step-loss.js';
import { StepScalars } from './step-scalars.js';
import type { StepPlace, TrainStep } from './step.js';
import type { StepContext } from './types.js';

/** The loss is read every so many steps only: each read waits for all work given to the device. */
const READ_EVERY = 50;

/** Steps before the capture: libraries allocate and choose their kernels in the first ones. */
const WARM_UP = 3;

export class DeviceStep implements TrainStep {
  readonly #parameters: readonly Tensor[];
  /** Loss of the last step; steps with a loss, and with a gradient norm, that was not finite. */
  readonly #state: Tensor;
  /** 1 from the first such step on: fused optimizers leave the weights alone then. */
  readonly #skip: Tensor;
  readonly #scalars: StepScalars;
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
    const { device, optimizer, ema } = session;
    this.#parameters = session.model.parameters();
    this.#state = zeros([3], { device }).keep();
    this.#skip = zeros([], { device }).keep();
    this.#scalars = new StepScalars(device);
    optimizer.makeCapturable(this.#skip);
    ema?.makeCapturable();
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
    session.ema?.prepare();
    session.parallel?.seedStep(session);
    this.#scalars.write({ epoch: session.epoch, step: session.steps, lr: session.lr, ...place });
    const tensors = this.#place(batch);
    if (tensors && this.#capture(batch, tensors, place)) {
      this.#graph?.replay();
    } else {
      // A launch may wait for the device, where it has to find memory, say.
      if (this.#graph) this.#settle();
      this.#launch(tensors ?? (() => this.#freshTensors(batch)), batch, place);
    }
    session.optimizer.count();
    session.ema?.count();
    session.sums.count(batch.size);
    if (session.steps % READ_EVERY === 0 || Number.isNaN(this.#lastLoss)) this.check();
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
  #capture(batch: StepBatch, tensors: () => BatchTensors, place: StepPlace): boolean {
    if (this.#graph) return true;
    if (this.#warm < WARM_UP) {
      this.#warm++;
      return false;
    }
    const { device, control, optimizer } = this.#session;
    // They would be held beside those that the graph has of its own.
    optimizer.zeroGrad();
    const captured = CudaGraph.attempt(
      device,
      () => {
        this.#launch(tensors, batch, place, true);
      },
      control.graphBackend,
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

  /** All that the device does in a step, given to it in order; nothing is read back. */
  #launch(
    tensors: () => BatchTensors,
    batch: BatchSize,
    place: StepPlace,
    recording = false,
  ): void {
    const session = this.#session;
    const { scalar } = this.#scalars;
    this.#scalars.begin(recording);
    const { model, optimizer, options, hooks, epoch, steps: step, lr } = session;
    scope(() => {
      optimizer.zeroGrad();
      session.parallel?.beginGradients(batch);
      const { images: given, labels, targets } = tensors();
      const images = given.to(session.imageType);
      const logits = F.atLeastFloat32(model.forward(images));
      const inputs = { model, images, labels, targets, logits };
      const context: StepContext = { ...inputs, epoch, step, lr, ...place, scalar };
      const { loss, terms } = stepLoss(context, hooks, options);
      loss.backward();
      session.parallel?.averageGradients();
      const norm =
        options.clipGradNorm === null
          ? undefined
          : optim.clipGradNormOnDevice(this.#parameters, options.clipGradNorm);
      if (options.clipGradNorm !== null) terms.push(norm ?? 0);
      for (const term of hooks.extraLosses ?? []) term.addGradient?.(context);
      noGrad(() => {
        this.#note(loss, norm);
      });
      optimizer.launch();
      noGrad(() => hooks.afterStep?.(context));
      session.weightsChanged();
      session.ema?.launch();
      const right = noGrad(() => countRight(logits, targets ? targets.argmax(-1) : labels));
      session.sums.launch(batch.size, loss.detach(), right, terms);
    });
  }

  #note(loss: Tensor, norm: Tensor | undefined): void {
    const state = this.#state;
    state.select(0, 0).copy_(loss);
    state.select(0, 1).add_(loss.isFinite().logicalNot());
    if (norm) state.select(0, 2).add_(norm.isFinite().logicalNot());
    this.#skip.copy_(state.narrow(0, 1, 2).sum().gt(0));
  }

  /** Happens by itself every 50 steps, so the error may name a step that much later. */
  check(): void {
    this.#settle();
    const [loss = NaN, badLosses = 0, badNorms = 0] = this.#state.toNumbers();
    if (badLosses > 0) this.#session.fail('loss', Number.isFinite(loss) ? NaN : loss);
    if (badNorms > 0) this.#session.fail('gradient norm', NaN);
    this.#lastLoss = loss;
  }

  dispose(): void {
    this.#dropGraph();
    this.#inputs?.dispose();
    this.#scalars.dispose();
    this.#state.dispose();
    this.#skip.dispose();
  }
}
