// Iterative magnitude pruning as the original training script ran it: a dense training, then rounds.
// The dense run lies in the folder of the pruning run.
import { existsSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { whyMissing } from '../files/missing.js';
import { makeFolder, removeEmptyFolders } from '../files/folder.js';
import { familyOf } from '../models/families.js';
import { saveModel } from '../models/model-file.js';
import type { ModelOptions } from '../models/model-options.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { TrainHooks } from '../training/hooks.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainResult } from '../training/train-result.js';
import { checkFits, isAnySize, modelInfoOf, openData } from './fit.js';
import { fileOfRun } from './open-model.js';
import { type OpenedModelFile, openModelFile } from './open-model-file.js';
import { densePath } from './prune/files.js';
import type { PruneHooks } from './prune/hooks.js';
import { type PruneRun, pruneRun } from './prune/run.js';
import { type PruneSettings, resolvePruneSettings } from './prune/settings.js';
import {
  type RunControl,
  type TrainSettings,
  checkSame,
  controlKinds,
  storedSettings,
} from './settings.js';
import { newHeadNote, withNewHead } from './starting-weights.js';
import { type OnBegin, trainRun } from './train-run.js';

export interface ImpPlan {
  /** Architecture of the dense model, and what differs from it. */
  readonly arch: string;
  readonly model: ModelOptions;
  /** State 0; undefined if the dense model is there already. */
  readonly dense?: TrainSettings | undefined;
  /** Its model is the dense one's file: of state 0, or whatever `importModel` reads. */
  readonly prune: PruneSettings;
}

const planKinds: OptionKinds<ImpPlan> = {
  arch: 'string',
  model: 'object',
  dense: 'object',
  prune: 'object',
};

export interface ImpHooks {
  /** Before the dense training, unless it is done. */
  readonly onDense?: ((settings: TrainSettings) => Omit<TrainHooks, 'saveModel'>) | undefined;
  readonly onBegin?: OnBegin | undefined;
  /** The dense model was opened from a file that another program wrote. */
  readonly onImport?:
    ((path: string, opened: Pick<OpenedModelFile, 'assumed' | 'notes'>) => void) | undefined;
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

/**
 * Trains and prunes as one job, resumable in either part: the same plan with `control.resume` goes on
 * where it was.
 *
 * @throws UsageError if there is a run and it is not to be resumed, or none and it is; and what
 *   trainRun and pruneRun throw
 */
export async function impRun(
  plan: ImpPlan,
  control: Omit<RunControl, 'overwrite' | 'hooks'>,
  hooks: ImpHooks = {},
): Promise<ImpRun> {
  requireOptions('impRun', plan, planKinds, ['arch', 'prune']);
  requireOptions('impRun: control', control, controlKinds, ['out']);
  // Before hours of dense training.
  resolvePruneSettings(plan.prune);
  const { dense } = plan;
  const prune = { ...plan.prune, model: await fileOfRun(plan.prune.model) };
  checkResume(control.out, control.resume);
  let result: TrainResult | undefined;
  if (dense && !isPruning(dense, control.out)) {
    const out = densePath(control.out);
    const { model, ...trained } = await trainRun(
      dense,
      { ...controlOf(out, control), hooks: hooks.onDense?.(dense) },
      hooks.onBegin,
    );
    model.dispose();
    result = trained.result;
    if (!result.finished) return { finished: false, dense: result, pruned: undefined };
  }
  const given = prune.model;
  const { model, made } = dense
    ? { model: given, made: [] }
    : await ownFile({ ...plan, prune }, control, hooks);
  hooks.onRounds?.();
  try {
    const pruned = await pruneRun(
      { ...prune, model, ...(model !== given && { import: undefined }) },
      controlOf(control.out, control),
      hooks.prune,
    );
    return { finished: pruned.finished, dense: result, pruned };
  } catch (error) {
    if (model !== given && !RunFolder.isRun(control.out)) {
      rmSync(model, { force: true });
      removeEmptyFolders(made);
    }
    throw error;
  }
}

/** Of one of the two runs: one that has begun goes on, with the batch size that it has; the other one begins. */
function controlOf<C extends Pick<RunControl, 'resume' | 'autoBatch'>>(
  out: string,
  control: C,
): C & { readonly out: string } {
  return RunFolder.isRun(out) && control.resume
    ? { ...control, out, autoBatch: undefined }
    : { ...control, out, resume: false };
}

/**
 * Whether the rounds have begun, so that the dense training is over.
 * @throws UsageError if that was another one
 */
function isPruning(dense: TrainSettings, out: string): boolean {
  if (!RunFolder.isRun(out)) return false;
  const folder = densePath(out);
  if (RunFolder.isRun(folder)) checkSame('dense training', dense, storedSettings(folder, 'train'));
  return true;
}

/**
 * A model file of ours: the given one, or what it holds, beside the run's folder, where it stays for the run to go
 * on with. Class names are those of the data, and so is the normalisation that nothing tells. Where the data have another
 * number of classes, the classifier is a new one.
 * @returns the file, and the folders that were made for it
 */
async function ownFile(
  {
    arch,
    model: options,
    prune: { model: path, import: said, dataset: name, data, recipe },
  }: ImpPlan,
  { out, data: dataHooks, resume }: Pick<RunControl, 'out' | 'data' | 'resume'>,
  { onImport }: ImpHooks,
): Promise<{ readonly model: string; readonly made: readonly string[] }> {
  const own = `${resolve(out)}.dense.safetensors`;
  const resuming = resume !== undefined && resume !== false && RunFolder.isRun(out);
  const { path: used } = resuming ? sourceOf(out) : {};
  if (used === own && existsSync(own)) return { model: own, made: [] };
  if (!existsSync(path)) {
    throw new UsageError(`imp: the dense model ${path} ${whyMissing(path)}, expected a file.`);
  }
  // imp's own dense trainings scan in one direction, unless --scan says otherwise.
  const usual = familyOf(arch).name === 'mamba' ? ({ oneDirection: 'uni' } as const) : {};
  // Positions are resampled for the images that there are, unless others were asked for.
  let dataset =
    said?.resamplePositions === true && name !== undefined
      ? await openData({ dataset: name, data, imageSize: said.imageSize }, dataHooks)
      : undefined;
  const opened = await openModelFile(path, {
    ...said,
    ...(dataset && { imageSize: dataset.info.height }),
    arch,
    ...options,
    ...usual,
  });
  const { model, info } = opened;
  let fitted: ReturnType<typeof withNewHead> | undefined;
  try {
    if (info.history.at(-1)?.['step'] !== 'import' || name === undefined) {
      return { model: path, made: [] };
    }
    dataset ??= await openData(
      { dataset: name, data, imageSize: isAnySize(name) ? model.config.imageSize : undefined },
      dataHooks,
    );
    const { classes } = dataset.info;
    checkFits({ ...model.config, numClasses: classes.length }, dataset.info);
    const { mean, std } = opened.options;
    const assumed = opened.assumed.filter(
      (text) => !/^(mean|std|interpolation|cropShare) /.test(text),
    );
    // Only where random numbers are needed, so that a run without them draws the same ones as ever.
    if (classes.length !== model.config.numClasses) {
      manualSeed(recipe.seed ?? 0);
      fitted = withNewHead(path, model, classes.length);
    }
    const notes = fitted
      ? [...opened.notes, newHeadNote(fitted.anew, model.config, dataset.info), untrainedHead]
      : opened.notes;
    onImport?.(path, { notes, assumed });
    const history = info.history.map((step) =>
      step['step'] === 'import' ? { ...step, assumed } : step,
    );
    const made = makeFolder(dirname(own));
    saveModel(own, fitted?.model ?? model, {
      ...modelInfoOf(dataset.info, history),
      ...(mean && { mean: [...mean] }),
      ...(std && { std: [...std] }),
    });
    return { model: own, made };
  } finally {
    fitted?.model.dispose();
    model.dispose();
  }
}

const untrainedHead =
  'Nothing trains the new classifier before the first cut. To train the model on these images first, give it as `init`.';

/** What a run of the rounds says of the model that it prunes. */
const sourceOf = (run: string): { readonly path?: string } =>
  RunFolder.open(run).config['source'] ?? {};

function checkResume(out: string, resume: RunControl['resume']): void {
  const exists = RunFolder.isRun(out) || RunFolder.isRun(densePath(out));
  const resuming = resume !== undefined && resume !== false;
  if (exists && !resuming) {
    throw new UsageError(
      `imp: ${out} holds a run already. Go on with it (\`resume\`), or ` +
        'start a new one in another folder (`out`).',
    );
  }
  if (!exists && resuming) {
    throw new UsageError(`imp: ${out} holds no run to resume. Leave \`resume\` out to start it.`);
  }
}
