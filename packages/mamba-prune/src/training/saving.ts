/** What a training writes: checkpoints and model files. */
import {
  getNumThreads,
  getRngState,
  libtorchVersion,
  saveSafetensors,
  type Tensor,
} from '@mamba-prune/libtorch';
import { systemReason } from '@mamba-prune/libtorch/files';
import { existsSync } from 'node:fs';
import { type CheckpointState, writeCheckpoint } from './checkpoint.js';
import { RunFolderError } from './errors.js';
import type { Session } from './session.js';

/**
 * Writes the last checkpoint; the one before becomes the previous.
 * @throws TrainingDivergedError rather than writing a value that is not finite
 * @throws RunFolderError if it cannot be written; the old one is untouched then
 */
export function saveCheckpoint(session: Session): void {
  const { model, ema, optimizer, folder, sums, log, hooks } = session;
  const running = sums.state();
  const { loss } = sums.meansOf(running);
  if (!Number.isFinite(loss)) session.fail('loss', loss);
  if (session.parallel?.leads === false) return;
  const { tensors: slots, scalars } = optimizer.stateDict();
  const tensors = new Map<string, Tensor | Uint8Array>([
    ...prefixed('model.', model.stateDict()),
    ...prefixed('optimizer.', slots),
    ...prefixed('ema.', ema?.averages ?? new Map<string, Tensor>()),
    ...prefixed('hooks.', hooks.state?.tensors ?? new Map<string, Tensor>()),
    ...rngDevices(session.device).map((d) => [`rng.${d}`, getRngState(d)] as const),
  ]);
  session.checkFinite(tensors);
  const state: CheckpointState = {
    format: 1,
    phase: session.phase,
    epoch: session.epoch,
    batch: session.batch,
    step: session.steps,
    lr: session.lr,
    finished: session.isFinished(),
    seconds: session.seconds(),
    running,
    best: session.best,
    last: session.last,
    metricsBytes: log?.bytes ?? 0,
    optimizer: scalars,
    emaUpdates: ema?.updates ?? null,
    options: session.options,
    data: session.dataFacts(),
    threads: getNumThreads(),
    device: session.device,
    libtorch: libtorchVersion(),
    ...(session.parallel && { workers: session.parallel.workers }),
    precision: session.precision,
    extra: session.control.extra ?? null,
  };
  writing(session, 'the checkpoint', folder.lastCheckpoint, () => {
    log?.sync();
    // The first checkpoint is the beginning of a training.
    if (session.steps > 0) folder.dropReplaced();
    folder.keepPrevious();
    writeCheckpoint(folder.lastCheckpoint, state, tensors);
  });
  hooks.onCheckpoint?.(folder.lastCheckpoint);
}

/** Writes the weights that the model has now. */
export function saveModelFile(
  session: Session,
  path: string,
  epoch: number,
  valAccuracy: number | null,
): void {
  const { hooks, model, phase, ema } = session;
  if (session.parallel?.leads === false) return;
  const weights = ema ? 'ema' : 'model';
  writing(session, 'the model', path, () => {
    if (hooks.saveModel) hooks.saveModel(path, model, { phase, epoch, weights, valAccuracy });
    else saveSafetensors(path, model.stateDict());
  });
}

/** Runs `body`; an error of the system says what is left to go on from. */
function writing(session: Session, what: string, path: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    const ours = error instanceof RunFolderError;
    if (!ours && (error as NodeJS.ErrnoException).code === undefined) throw error;
    const reason = ours ? error.message : systemReason(error);
    const { path: folder, lastCheckpoint } = session.folder;
    const rest = existsSync(lastCheckpoint)
      ? `The last good checkpoint is ${lastCheckpoint}; resume from it (\`resume\`).`
      : 'There is no checkpoint yet.';
    throw new RunFolderError(
      folder,
      `train: cannot write ${what} ${path} after step ${session.steps}: ${reason} ${rest}`,
      { cause: error },
    );
  }
}

/** Devices whose random generators a training may use. */
export function rngDevices(device: string): string[] {
  return device === 'cpu' ? ['cpu'] : ['cpu', device];
}

function prefixed(prefix: string, tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] {
  return [...tensors].map(([name, tensor]) => [prefix + name, tensor]);
}
