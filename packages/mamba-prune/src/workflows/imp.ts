// Iterative magnitude pruning as the original training script ran it: a dense training, then rounds.
// The dense run lies in the folder of the pruning run.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainHooks, TrainResult } from '../training/types.js';
import type { PruneHooks } from './prune-hooks.js';
import { type PruneRun, pruneRun } from './prune-run.js';
import { type PruneSettings, resolvePruneSettings } from './prune-settings.js';
import type { RunControl, TrainSettings } from './settings.js';
import { type OnBegin, trainRun } from './train-run.js';

export interface ImpPlan {
  /** State 0; undefined if the dense model is there already. */
  readonly dense?: TrainSettings | undefined;
  /** Its model is the dense one's file. */
  readonly prune: PruneSettings;
}

export interface ImpHooks {
  /** Before the dense training, unless it is done. */
  readonly onDense?: ((settings: TrainSettings) => Omit<TrainHooks, 'saveModel'>) | undefined;
  readonly onBegin?: OnBegin | undefined;
  /** Before the rounds. */
  readonly onRounds?: (() => void) | undefined;
  readonly prune?: PruneHooks | undefined;
}

export interface ImpRun {
  readonly finished: boolean;
  /** Of the dense training, as far as it came; undefined if there was none to do. */
  readonly dense: TrainResult | undefined;
  /** Undefined if the dense training was stopped; the caller disposes its model. */
  readonly pruned: PruneRun | undefined;
}

/** The dense run of a pruning run. */
export const densePath = (run: string): string => join(run, 'dense');

/**
 * Trains and prunes as one job, resumable in either part: the same plan with `control.resume` goes on
 * where it was.
 *
 * @throws UsageError if there is a run and it is not to be resumed, or none and it is; and what
 *   trainRun and pruneRun throw
 */
export async function impRun(
  { dense, prune }: ImpPlan,
  control: Omit<RunControl, 'overwrite' | 'hooks'>,
  hooks: ImpHooks = {},
): Promise<ImpRun> {
  // Before hours of dense training.
  resolvePruneSettings(prune);
  const folder = densePath(control.out);
  checkResume(control.out, control.resume);
  let result: TrainResult | undefined;
  if (dense && !isFinished(folder, control)) {
    const { model, result: trained } = await trainRun(
      dense,
      {
        ...control,
        out: folder,
        resume: RunFolder.isRun(folder) && control.resume,
        hooks: hooks.onDense?.(dense),
      },
      hooks.onBegin,
    );
    model.dispose();
    result = trained;
    if (!trained.finished) return { finished: false, dense: result, pruned: undefined };
  }
  hooks.onRounds?.();
  const pruned = await pruneRun(
    prune,
    { ...control, resume: RunFolder.isRun(control.out) && control.resume },
    hooks.prune,
  );
  return { finished: pruned.finished, dense: result, pruned };
}

/** The rounds have begun, so the dense training is over; its settings are checked through its model. */
function isFinished(dense: string, { out }: Pick<RunControl, 'out'>): boolean {
  return RunFolder.isRun(out) && existsSync(join(dense, 'model.safetensors'));
}

function checkResume(out: string, resume: RunControl['resume']): void {
  const exists = RunFolder.isRun(out) || RunFolder.isRun(densePath(out));
  const resuming = resume !== undefined && resume !== false;
  if (exists && !resuming) {
    throw new UsageError(
      `imp: ${out} holds a run already. Give the same command with --resume to go on with it, or ` +
        'another --exp_name to start a new one.',
    );
  }
  if (!exists && resuming) {
    throw new UsageError(`imp: ${out} holds no run to resume. Leave --resume out to start it.`);
  }
}
