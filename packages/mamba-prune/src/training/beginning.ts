/** How a training begins: anew, or where its checkpoint left it. */
import {
  getNumThreads,
  libtorchVersion,
  manualSeed,
  type optim,
  setRngState,
  type Tensor,
} from '@mamba-prune/libtorch';
import { existsSync } from 'node:fs';
import {
  type Checkpoint,
  type CheckpointState,
  readCheckpoint,
  readCheckpointInfo,
  restoreTensors,
  toTensor,
} from './checkpoint.js';
import { cutCheckpoint } from './continuing.js';
import { CheckpointError, ResumeError, RunFolderError } from './errors.js';
import type { EpochMetrics } from './metrics-lines.js';
import { MetricsLog, bytesBefore } from './metrics.js';
import { checkResumeOptions, stableJson } from './options.js';
import type { RunFolder } from './run-folder.js';
import { rngDevices, saveCheckpoint } from './saving.js';
import type { Session } from './session.js';
import type { Continuation, TrainControl } from './train-control.js';

/** Begins the session's phase, or resumes it. @throws see `train` */
export function begin(session: Session): void {
  const { folder, control, phase } = session;
  checkCheckpoints(folder, control);
  const state = lastState(session);
  if (state?.phase !== phase) {
    if (state && !state.finished) {
      throw new RunFolderError(
        folder.path,
        `train: the phase "${state.phase}" of ${folder.path} is not finished, expected it to be before ` +
          `"${phase}" begins. Resume it first.`,
      );
    }
    if (control.continues) continueFrom(session, control.continues, state && readLast(session));
    else beginAnew(session, state);
  } else if (control.resume === undefined || control.resume === false) {
    throw new RunFolderError(
      folder.path,
      `train: ${folder.path} has a checkpoint (epoch ${state.epoch} of ${state.options.epochs}), expected ` +
        'a new run. Resume it (`resume`), or choose another folder.',
    );
  } else {
    const checkpoint = readLast(session);
    if (checkpoint) resume(session, checkpoint);
    else beginAnew(session, undefined);
  }
  if (control.resume && control.described) folder.update(control.described);
}

/**
 * For those who have other work to do before a training goes on.
 * @throws CheckpointError if the run has begun and nothing is left to go on from, unless it may begin anew
 */
export function checkCheckpoints(
  folder: RunFolder,
  { resume, restart }: Pick<TrainControl, 'resume' | 'restart'>,
): void {
  const { lastCheckpoint, previousCheckpoint, path, metricsPath, modelPath } = folder;
  if (!resume || restart === true || !folder.hasTrained) return;
  if (existsSync(lastCheckpoint) || existsSync(previousCheckpoint)) return;
  throw new CheckpointError(
    lastCheckpoint,
    `resume: ${path} has no checkpoint any more (${lastCheckpoint}), but it has begun: there is ${existsSync(metricsPath) ? metricsPath : modelPath}. ${restartAdvice}`,
  );
}

const restartAdvice =
  'Put a checkpoint back, begin anew in the same folder (`resume` with `restart`, or `quickstart.fresh`), or start a new run.';

/**
 * What the last checkpoint says, or the previous one if that is asked for and the last is damaged.
 * Undefined if there is none to go on from, and the training may begin.
 */
function lastState(session: Session): CheckpointState | undefined {
  const { lastCheckpoint, previousCheckpoint } = session.folder;
  if (!existsSync(lastCheckpoint) && !existsSync(previousCheckpoint)) return undefined;
  return orPrevious(session, readCheckpointInfo)?.value;
}

/** Undefined if all are damaged and the training may begin anew. */
function readLast(session: Session): Checkpoint | undefined {
  const { folder, hooks } = session;
  const found = orPrevious(session, readCheckpoint);
  if (found?.lost === undefined) return found?.value;
  hooks.onNote?.(`${found.lost}\nGoing on from the one before, ${found.value.path}.`);
  folder.restorePrevious();
  return found.value;
}

/**
 * @param read - reads a checkpoint
 * @returns what it read, and what is wrong with the last one if it is the previous; undefined if both
 *   cannot be read and the training may begin anew
 * @throws CheckpointError with what can be done
 */
function orPrevious<T>(
  { folder, control }: Session,
  read: (path: string) => T,
): { readonly value: T; readonly lost?: string } | undefined {
  const { lastCheckpoint, previousCheckpoint } = folder;
  let lost: CheckpointError;
  try {
    return { value: readThere(lastCheckpoint, read) };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    lost = error;
  }
  const { message } = lost;
  let value: T;
  try {
    value = readThere(previousCheckpoint, read);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    if (control.restart === true) return undefined;
    const all = `${message}\n${error.message}\n${restartAdvice}`;
    throw new CheckpointError(lastCheckpoint, all, { cause: lost });
  }
  if (control.resume === 'previous' || control.restart === true) return { value, lost: message };
  throw new CheckpointError(
    lastCheckpoint,
    `${message}\nResume from the one before, ${previousCheckpoint} (\`resume\` previous), or start a new run.`,
    { cause: lost },
  );
}

function readThere<T>(path: string, read: (path: string) => T): T {
  if (existsSync(path)) return read(path);
  throw new CheckpointError(path, `readCheckpoint: the checkpoint ${path} is missing.`);
}

/** @param before - of the phase before, if there was one */
function beginAnew(session: Session, before: CheckpointState | undefined): void {
  const { folder, control, options, phase } = session;
  const configured = folder.config.train;
  if (control.resume && configured && before === undefined && control.phase === undefined) {
    // Killed before its first checkpoint, or all of them are lost: the run still is what config.json says.
    checkResumeOptions(configured, options, folder.configPath);
  }
  const isRestart = control.restart === true && before === undefined && folder.hasTrained;
  if (isRestart) noteRestart(session);
  const keep = isRestart ? bytesBefore(folder.metricsPath, phase) : (before?.metricsBytes ?? 0);
  manualSeed(options.seed);
  session.log = new MetricsLog(folder.metricsPath, keep);
  session.hooks.state?.begin();
  // Before any work is done, so that a full disk shows now.
  saveCheckpoint(session);
}

/** What is there is kept aside: damaged files may still be worth something to somebody. */
function noteRestart({ folder, hooks, phase }: Session): void {
  folder.setCheckpointsAside();
  hooks.onNote?.(
    `No checkpoint of ${folder.path} can be read: the training ${phase === 'train' ? '' : `"${phase}" `}begins anew. ` +
      `What was there is in ${folder.asidePath}.`,
  );
}

function resume(session: Session, checkpoint: Checkpoint): void {
  const { state, path } = checkpoint;
  const { options, model, sums } = session;
  const note = checkResumeOptions(state.options, options, path);
  checkData(session, state);
  restoreTensors(checkpoint, 'model.', model.stateDict());
  session.weightsChanged();
  restoreHooks(session, checkpoint);
  restoreProgress(session, checkpoint);
  sums.restore(state.running);
  session.best = state.best;
  session.last = state.last as EpochMetrics | null;
  // What was asked at the end of that epoch; within one it is asked when it ends.
  if (state.epoch > 0 && state.batch === 0) session.askForEnd(state.epoch);
  noteResume(session, state, note);
}

/** The model has the weights that it is to go on with; what was best before, and last, was another one. */
function continueFrom(
  session: Session,
  continues: Continuation,
  end: Checkpoint | undefined,
): void {
  const { options, hooks } = session;
  const checkpoint = cutCheckpoint(session, end, continues);
  const { state, path } = checkpoint;
  const note = checkResumeOptions(state.options, options, path);
  checkData(session, state);
  restoreProgress(session, checkpoint);
  if (note) hooks.onNote?.(note);
  noteSurroundings(session, state);
  session.hooks.state?.begin();
  saveCheckpoint(session);
}

/** What hooks had at that step. A checkpoint without any is of a training that began before they had a state. */
function restoreHooks({ hooks }: Session, checkpoint: Checkpoint): void {
  const prefix = 'hooks.';
  if ([...checkpoint.tensors.keys()].some((name) => name.startsWith(prefix))) {
    restoreTensors(checkpoint, prefix, hooks.state?.tensors ?? new Map<string, Tensor>());
  }
  hooks.state?.begin();
}

/** All but the weights, and what was measured of them. */
function restoreProgress(session: Session, checkpoint: Checkpoint): void {
  const { state, tensors } = checkpoint;
  const { ema, folder } = session;
  restoreTensors(checkpoint, 'ema.', ema?.averages ?? new Map<string, Tensor>());
  ema?.restore(state.emaUpdates ?? 0);
  restoreOptimizer(session.optimizer, checkpoint);
  for (const device of rngDevices(session.device)) {
    const stored = tensors.get(`rng.${device}`);
    if (stored) setRngState(stored.data, device);
  }
  session.epoch = state.epoch;
  session.batch = state.batch;
  session.steps = state.step;
  session.lr = state.lr;
  session.secondsBefore = state.seconds;
  session.log = new MetricsLog(folder.metricsPath, state.metricsBytes);
}

function checkData(session: Session, state: CheckpointState): void {
  const now = session.dataFacts();
  const differing = Object.keys(now)
    .map((name) => ({ name, got: stableJson(now[name]), expected: stableJson(state.data[name]) }))
    .filter(({ got, expected }) => got !== expected);
  if (differing.length === 0) return;
  const list = differing.map((d) => `${d.name}: got ${d.got}, expected ${d.expected}`).join('; ');
  throw new ResumeError(
    differing.map(({ name }) => name),
    `resume: the data set is not the one that the run began with: ${list}. Give the same data.`,
  );
}

function restoreOptimizer(optimizer: optim.Optimizer, { tensors, state }: Checkpoint): void {
  const prefix = 'optimizer.';
  const made = new Map<string, Tensor>();
  try {
    for (const [name, stored] of tensors) {
      if (name.startsWith(prefix)) made.set(name.slice(prefix.length), toTensor(stored));
    }
    const scalars = state.optimizer as optim.OptimizerScalars;
    optimizer.loadStateDict({ tensors: made, scalars });
  } finally {
    for (const tensor of made.values()) tensor.dispose();
  }
}

function noteResume(session: Session, state: CheckpointState, note: string | undefined): void {
  const { folder, hooks, options } = session;
  const { config } = folder;
  const entry = { at: new Date().toISOString(), step: state.step, ...(note && { note }) };
  // config.json describes one phase; another's growth is in the note alone.
  const isConfigured = stableJson(config.train) === stableJson(state.options);
  folder.update({
    resumed: [...config.resumed, entry],
    ...(note && isConfigured && { train: options }),
  });
  if (note) hooks.onNote?.(note);
  // Of a run that is over nothing is computed any more.
  if (!session.isFinished()) noteSurroundings(session, state);
}

/** Says what is other than before and may change the last bits. */
function noteSurroundings(session: Session, state: CheckpointState): void {
  const { hooks } = session;
  const now = {
    workers: session.parallel?.workers ?? 1,
    threads: getNumThreads(),
    device: session.device,
    libtorch: libtorchVersion(),
    precision: session.precision,
  };
  const before = { ...state, workers: state.workers ?? 1 };
  for (const name of ['workers', 'threads', 'device', 'libtorch', 'precision'] as const) {
    if (now[name] === before[name] || before[name] === undefined) continue;
    hooks.onNote?.(
      `The run had ${name} ${before[name]}, now it is ${now[name]}: the result may differ ` +
        `${name === 'precision' ? '' : 'in the last bits '}from that of a run without interruption.`,
    );
  }
}
