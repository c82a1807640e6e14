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
import { CheckpointError, ResumeError, RunFolderError } from './errors.js';
import { MetricsLog } from './metrics.js';
import { checkResumeOptions, stableJson } from './options.js';
import { rngDevices, saveCheckpoint } from './saving.js';
import type { Session } from './session.js';
import type { EpochMetrics } from './types.js';

/** Begins the session's phase, or resumes it. @throws see `train` */
export function begin(session: Session): void {
  const { folder, control, phase } = session;
  const state = lastState(session);
  if (state?.phase !== phase) {
    if (state && !state.finished) {
      throw new RunFolderError(
        folder.path,
        `train: the phase "${state.phase}" of ${folder.path} is not finished, expected it to be before ` +
          `"${phase}" begins. Resume it first.`,
      );
    }
    beginAnew(session, state);
  } else if (control.resume === undefined || control.resume === false) {
    throw new RunFolderError(
      folder.path,
      `train: ${folder.path} has a checkpoint (epoch ${state.epoch} of ${state.options.epochs}), expected ` +
        'a new run. Resume it (--resume), or choose another folder.',
    );
  } else {
    resume(session, readLast(session));
  }
}

/** What the last checkpoint says, or the previous one if that is asked for and the last is damaged. */
function lastState({ folder, control }: Session): CheckpointState | undefined {
  const { lastCheckpoint, previousCheckpoint } = folder;
  if (!existsSync(lastCheckpoint)) return undefined;
  try {
    return readCheckpointInfo(lastCheckpoint);
  } catch (error) {
    if (control.resume === 'previous') return readCheckpointInfo(previousCheckpoint);
    throw withAdvice(error, previousCheckpoint);
  }
}

function readLast({ folder, control, hooks }: Session): Checkpoint {
  const { lastCheckpoint, previousCheckpoint } = folder;
  try {
    return readCheckpoint(lastCheckpoint);
  } catch (error) {
    if (control.resume !== 'previous') throw withAdvice(error, previousCheckpoint);
    const previous = readCheckpoint(previousCheckpoint);
    hooks.onNote?.(`${(error as Error).message}\nGoing on from the one before, ${previous.path}.`);
    folder.restorePrevious();
    return previous;
  }
}

/** Says of a damaged checkpoint that there is one before it. */
function withAdvice(error: unknown, previous: string): unknown {
  if (!(error instanceof CheckpointError)) return error;
  const advice = existsSync(previous)
    ? `Resume from the one before, ${previous} (--resume previous), or start a new run.`
    : 'Start a new run.';
  return new CheckpointError(error.path, `${error.message}\n${advice}`, { cause: error });
}

/** @param before - of the phase before, if there was one */
function beginAnew(session: Session, before: CheckpointState | undefined): void {
  const { folder, control, options } = session;
  const configured = folder.config.train;
  if (control.resume && configured && before === undefined) {
    // Killed before its first checkpoint: the run still is what config.json says.
    checkResumeOptions(configured, options, folder.configPath);
  }
  manualSeed(options.seed);
  session.log = new MetricsLog(folder.metricsPath, before?.metricsBytes ?? 0);
  // Before any work is done, so that a full disk shows now.
  saveCheckpoint(session);
}

function resume(session: Session, checkpoint: Checkpoint): void {
  const { state, tensors, path } = checkpoint;
  const { options, model, ema, sums, folder } = session;
  const note = checkResumeOptions(state.options, options, path);
  checkData(session, state);
  restoreTensors(checkpoint, 'model.', model.stateDict());
  restoreTensors(checkpoint, 'ema.', ema?.averages ?? new Map<string, Tensor>());
  ema?.restore(state.emaUpdates ?? 0);
  session.weightsChanged();
  restoreOptimizer(session.optimizer, checkpoint);
  sums.restore(state.running);
  for (const device of rngDevices(session.device)) {
    const stored = tensors.get(`rng.${device}`);
    if (stored) setRngState(stored.data, device);
  }
  session.epoch = state.epoch;
  session.batch = state.batch;
  session.steps = state.step;
  session.lr = state.lr;
  session.best = state.best;
  session.last = state.last as EpochMetrics | null;
  session.secondsBefore = state.seconds;
  session.log = new MetricsLog(folder.metricsPath, state.metricsBytes);
  noteResume(session, state, note);
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
  const now = {
    workers: session.parallel?.size ?? 1,
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
