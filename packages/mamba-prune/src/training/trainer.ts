/**
 * The training loop. It is written so that a run that was stopped anywhere, however harshly, and
 * resumed ends bit for bit as one that ran through (on the CPU, with the same thread count): all that
 * the future depends on is in the checkpoint, and everything random in the data is a pure function of
 * (seed, epoch, sample).
 */
import type { optim } from '@mamba-prune/libtorch';
import { checksOf, shown } from '../checks.js';
import type { Dataset } from '../data/index.js';
import { UsageError } from '../errors.js';
import { explainingMemory, type MemoryUse } from '../memory.js';
import { begin } from './beginning.js';
import { beginTogether } from './data-parallel/begin-together.js';
import { DataParallel } from './data-parallel/data-parallel.js';
import { makeSources, type Sources } from './data-source.js';
import { withCropsAsBegun } from './earlier-crops.js';
import { evaluate, type Evaluation } from './evaluate.js';
import { hearSignals } from './hear-signals.js';
import { checkHooks } from './check-hooks.js';
import type { TrainHooks } from './hooks.js';
import { learningRateSchedule } from './lr-schedule.js';
import type { EpochMetrics } from './metrics-lines.js';
import { resolveTrainOptions } from './options.js';
import { isPlainEpoch } from './plain-epochs.js';
import { RunFolder } from './run-folder.js';
import { RateMeter } from './running.js';
import { saveCheckpoint, saveModelFile } from './saving.js';
import { Session } from './session.js';
import { gradNormTerm } from './step-loss.js';
import { checkTeacher } from './teacher.js';
import type { TrainControl } from './train-control.js';
import type { ResolvedTrainOptions, TrainOptions } from './train-options.js';
import type { TrainResult } from './train-result.js';
import { makeStep, type TrainStep } from './train-step.js';
import type { Trainable } from './trainable.js';

/**
 * Trains a model in place and writes the run's files. Afterwards the model has the weights that
 * model.safetensors holds: the averaged ones if `emaDecay` is given, or else those of the last epoch.
 *
 * Everything random in it comes from `options.seed`; seed the model's initialisation yourself. The
 * default random generator is seeded anew.
 *
 * @param run - open for writing; stays so
 * @throws UsageError for options out of range or a teacher that does not fit; ResumeError if they are not those of the run;
 *   CheckpointError if the checkpoint is damaged or of another model; RunFolderError if the run has
 *   begun and is not to be resumed, or cannot be written; TrainingDivergedError; OutOfMemoryError
 */
export async function train(
  model: Trainable,
  dataset: Dataset,
  options: TrainOptions,
  run: RunFolder,
  hooks: TrainHooks = {},
  control: TrainControl = {},
): Promise<TrainResult> {
  checkHooks(hooks);
  if (!((run as unknown) instanceof RunFolder)) {
    throw new UsageError(
      `train: got ${shown(run)} in place of the run's folder, expected what RunFolder.create or RunFolder.open gives.`,
    );
  }
  const { group, signal } = control;
  const parallel = group && group.workers > 1 ? new DataParallel(group, signal) : undefined;
  if (parallel?.leads !== false) run.requireLock();
  const asked = resolveTrainOptions(options, dataset.info);
  const resolved = control.resume ? withCropsAsBegun(asked, run) : asked;
  checkPart(control, resolved);
  if (hooks.distillation) checkTeacher(hooks.distillation, model, dataset.info);
  const session = new Session(model, dataset, resolved, run, hooks, control, parallel);
  let sources: Sources | undefined;
  let trainer: Trainer | undefined;
  try {
    sources = await makeSources(session);
    trainer = new Trainer(session, sources);
    return await trainer.run();
  } finally {
    trainer?.dispose();
    session.dispose();
    await sources?.close();
  }
}

/** @throws UsageError for a part that is none */
function checkPart(
  { untilEpoch, endsWhen, group }: TrainControl,
  { epochs }: ResolvedTrainOptions,
): void {
  if (endsWhen && group && group.workers > 1) {
    throw new UsageError(
      `train: got endsWhen with ${group.workers} workers, expected one: nothing lets all of them end in the same epoch. ` +
        'Leave the group out, or give untilEpoch.',
    );
  }
  if (untilEpoch === undefined) return;
  const words = { expected: `an integer from 1 to ${epochs}, the epochs of the training` };
  checksOf('train').integer('untilEpoch', untilEpoch, { min: 1, max: epochs }, words);
}

/** Evaluations at an epoch's end; empty in epochs without one. */
interface Evaluations {
  model?: Evaluation;
  ema?: Evaluation;
}

class Trainer {
  readonly #step: TrainStep;
  readonly #schedule: optim.Schedule;
  readonly #meter = new RateMeter();
  #savedAt = performance.now();
  /** Whether the last checkpoint holds all that was done. */
  #isSaved = false;

  readonly #session: Session;
  readonly #sources: Sources;

  constructor(session: Session, sources: Sources) {
    this.#session = session;
    this.#sources = sources;
    this.#step = makeStep(session);
    this.#schedule = learningRateSchedule(session.options, sources.train.batchesPerEpoch);
  }

  dispose(): void {
    this.#step.dispose();
  }

  async run(): Promise<TrainResult> {
    const session = this.#session;
    if (session.parallel) beginTogether(session, session.parallel);
    else begin(session);
    await hearSignals();
    while (!session.isFinished()) {
      const evaluations = (await this.#trainEpoch()) ? await this.#evaluateEpoch() : undefined;
      if (evaluations === undefined) {
        this.#save();
        return this.#result();
      }
      const metrics = await this.#endEpoch(evaluations);
      await session.hooks.onEpoch?.(metrics);
      if (session.isAborted() && !session.isFinished()) {
        if (!this.#isSaved) this.#save();
        return this.#result();
      }
    }
    if (session.endsEarly) return this.#result();
    session.swapAverages();
    saveModelFile(session, session.folder.modelPath, session.epoch, session.valAccuracy());
    return this.#result();
  }

  /** @returns false if it was stopped */
  async #trainEpoch(): Promise<boolean> {
    const session = this.#session;
    const sources = this.#sources;
    const meter = this.#meter;
    const { options, hooks } = session;
    const stepsPerEpoch = sources.train.batchesPerEpoch;
    const totalSteps = stepsPerEpoch * options.epochs;
    const epoch = session.epoch + 1;
    session.model.train();
    meter.restart();
    let before = performance.now();
    const dataEpoch = session.epoch + (options.firstEpoch ?? 0);
    for await (const batch of sources.train.epoch(dataEpoch, session.batch)) {
      if (session.isAborted()) return false;
      const factor = this.#schedule(session.steps, totalSteps);
      const lr = options.lr * factor;
      session.lr = lr;
      session.optimizer.setLrFactor(factor);
      const place = { totalSteps, stepsPerEpoch, progress: session.steps / stepsPerEpoch };
      let loss = explainingMemory(
        () => this.#memoryOf(batch.size),
        () => this.#step.run(batch, place),
      );
      session.batch++;
      session.steps++;
      let isDue = this.#isCheckpointDue();
      if (session.parallel) {
        ({ loss, isDue } = session.parallel.endStep(batch, { loss, isDue }));
      }
      const { batch: step, steps, phase } = session;
      const now = performance.now();
      session.sums.seconds += (now - before) / 1000;
      before = now;

      const imagesPerSecond = meter.add(batch.globalSize ?? batch.size);
      const { epochs, logEverySteps } = options;
      const said = hooks.onStep?.({
        epoch,
        epochs,
        step,
        stepsPerEpoch,
        loss,
        lr,
        imagesPerSecond,
      });
      // A turn of the event loop for each step only where somebody waits.
      if (said instanceof Promise) await said;
      if (logEverySteps !== null && steps % logEverySteps === 0) {
        session.log?.append({ type: 'step', phase, epoch, step: steps, loss, lr }, false);
      }
      // The epoch's end has a checkpoint of its own.
      if (step < stepsPerEpoch && isDue) {
        this.#save();
        before = performance.now();
      }
    }
    // A GPU may be some steps behind: they belong to the training's time, not to the evaluation's.
    this.#step.check();
    session.sums.seconds += (performance.now() - before) / 1000;
    session.askForEnd(epoch);
    return !session.isAborted();
  }

  #memoryOf(batchSize: number): MemoryUse {
    const { device } = this.#session;
    const advice = this.#keepsBatchSize() ? keptBatchAdvice : freeBatchAdvice;
    return { where: 'train', batchSize, device, advice: advice(batchSize, this.#session) };
  }

  /** Whether the run goes on only with the batch size that it has. A new one that fails before its first epoch can begin again. */
  #keepsBatchSize(): boolean {
    const { control, folder, epoch } = this.#session;
    const isResumed = control.resume !== undefined && control.resume !== false;
    return isResumed || epoch > 0 || (folder.writable && !folder.isNew);
  }

  #isCheckpointDue(): boolean {
    const { options, steps } = this.#session;
    const { minutes, steps: every } = options.checkpointEvery;
    if (every !== null && steps % every === 0) return true;
    return minutes !== null && performance.now() - this.#savedAt >= minutes * 60_000;
  }

  /** @returns undefined if it was stopped */
  async #evaluateEpoch(): Promise<Evaluations | undefined> {
    const session = this.#session;
    const sources = this.#sources;
    const { ema, options, parallel } = session;
    const done = session.epoch + 1;
    if (done % options.evalEvery !== 0 && done < session.lastEpoch) return {};
    const count = sources.test.batchesPerEpoch;
    const total = ema ? 2 * count : count;
    parallel?.shareBuffers(session.model);
    const source = parallel?.inStep(sources.test) ?? sources.test;
    const run = (first: number) =>
      evaluate(session.model, source, session.dataset.info, {
        device: session.device,
        precision: session.precision,
        hasCopies: true,
        signal: (parallel ?? session.control).signal,
        reduce: parallel?.reduce,
        onProgress: (batches) => session.hooks.onEvaluate?.(first + batches, total),
      });
    const model = await run(0);
    if (!model || !ema) return model && { model };
    const averaged = await session.withAverages(() => run(count));
    return averaged && { model, ema: averaged };
  }

  /** The epoch's line and files, in an order that lets it be killed between any two. */
  async #endEpoch({ model, ema }: Evaluations): Promise<EpochMetrics> {
    const session = this.#session;
    const { sums, hooks } = session;
    const means = sums.means();
    if (!Number.isFinite(means.loss)) session.fail('loss', means.loss);
    session.checkFinite(session.model.stateDict());
    const { [gradNormTerm]: gradNorm, ...terms } = means.terms;
    const epoch = session.epoch + 1;
    const metrics: EpochMetrics = {
      ...hooks.epochMetrics?.(epoch, session.options.epochs),
      type: 'epoch',
      phase: session.phase,
      epoch,
      step: session.steps,
      loss: means.loss,
      trainAccuracy: means.accuracy,
      valLoss: model?.loss ?? null,
      valAccuracy: model?.accuracy ?? null,
      valTop5: model?.top5 ?? null,
      ...(session.ema && { emaLoss: ema?.loss ?? null, emaAccuracy: ema?.accuracy ?? null }),
      ...(Object.keys(terms).length > 0 && { terms }),
      ...(gradNorm !== undefined && { gradNorm }),
      ...(this.#step.graph !== undefined && { graph: this.#step.graph }),
      ...(this.#sources.data !== undefined && { data: this.#sources.data }),
      ...(isPlainEpoch(session.options, session.epoch) && { plain: true }),
      lr: session.lr,
      imagesPerSecond: means.images / Math.max(sums.seconds, 1e-9),
      seconds: session.seconds(),
    };
    await this.#keepBest(epoch, (ema ?? model)?.accuracy);
    session.log?.append(metrics);
    sums.reset();
    session.last = metrics;
    session.epoch = epoch;
    session.batch = 0;
    this.#isSaved = false;
    if (session.isFinished() || session.isAborted() || this.#isEpochSaveDue()) this.#save();
    else this.#step.check();
    return metrics;
  }

  async #keepBest(epoch: number, accuracy: number | undefined): Promise<void> {
    const session = this.#session;
    const { best, folder } = session;
    if (accuracy === undefined || (best && accuracy <= best.accuracy)) return;
    session.best = { epoch, accuracy };
    await session.withAverages(() => {
      saveModelFile(session, folder.bestModel, epoch, accuracy);
    });
  }

  #save(): void {
    this.#step.check();
    saveCheckpoint(this.#session);
    this.#savedAt = performance.now();
    this.#isSaved = true;
  }

  /** Epochs of a few seconds, as on a GPU, would spend a fifth of their time on checkpoints. */
  #isEpochSaveDue(): boolean {
    const { device, control, parallel } = this.#session;
    const seconds = control.epochSaveSeconds ?? (device.startsWith('cuda') && !parallel ? 20 : 0);
    return performance.now() - this.#savedAt >= seconds * 1000;
  }

  #result(): TrainResult {
    const session = this.#session;
    const { folder } = session;
    const finished = session.isFinished();
    return {
      finished,
      epochs: session.epoch,
      steps: session.steps,
      last: session.last ?? undefined,
      best: session.best ?? undefined,
      weights: finished && session.givesAverages ? 'ema' : 'model',
      valAccuracy: session.valAccuracy(),
      seconds: session.seconds(),
      path: finished && !session.endsEarly ? folder.modelPath : folder.lastCheckpoint,
    };
  }
}

const halfOf = (batchSize: number): number => Math.max(1, batchSize >> 1);

function freeBatchAdvice(batchSize: number, { device, precision }: Session): string {
  const bf16 =
    precision === 'fp32' && device !== 'cpu' ? ', compute in bf16 (`precision` bf16)' : '';
  return (
    `Give fewer images per step (\`batchSize\` ${halfOf(batchSize)}), let the size be found ` +
    `(\`autoBatch\`)${bf16}, or see that nobody else uses the device.`
  );
}

const keptBatchAdvice = (batchSize: number): string =>
  'A run that has begun keeps its batch size. See that nobody else uses the device, or use one with more memory, and go on ' +
  `(\`resume\`). Otherwise begin a new run with fewer images per step (\`batchSize\` ${halfOf(batchSize)}).`;
