// Measures how sensitive the parts of a model are, and searches for rates: from a model's file to sensitivity.json.
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import { evaluateModel, namingNotFinite } from '../../inference/evaluate-model.js';
import { familyNamed } from '../../models/families.js';
import type { ImageModel } from '../../models/image-model.js';
import { inspectModel } from '../../models/inspect.js';
import { precisionOn } from '../../models/precision.js';
import { type OptionKinds, checkOptions } from '../../option-checks.js';
import type { ComputePrecision } from '../../precision.js';
import type { Calibration } from '../../pruning/calibration.js';
import { needForImages } from '../../pruning/importances.js';
import {
  type CutModel,
  type Evaluate,
  type Sensitivity,
  isComplete,
  measureSensitivity,
} from '../../pruning/sensitivity/measure.js';
import { scoreUnits } from '../../pruning/score-units.js';
import { defaultKinds, groupsOfKinds } from '../../pruning/select-units.js';
import { noteAssumedPixels } from '../assumed-pixels.js';
import { type DataHooks, openDataFor, withModelInfo } from '../fit.js';
import { keptNormsNote } from '../prune/norm-batches.js';
import { openModelFile } from '../open-model-file.js';
import { calibrationOf } from '../prune/calibration.js';
import { cutOf, normBatch, usualNormBatches } from './cut.js';
import { type SearchRecord, type SensitivityFile, readSensitivity } from './file.js';
import { checkSame, headerOf, sameSearch } from './header.js';
import { heldOutImages } from './images.js';
import { GrowingFile, checkOut } from './out-file.js';
import { searchRates } from './search.js';
import {
  type ResolvedSensitivitySettings,
  type SensitivitySettings,
  limitOfTarget,
  resolveSensitivity,
} from './settings.js';

/** How a measurement is carried out. */
export interface SensitivityControl {
  /** File to write, whose name ends in .json. By default none. */
  readonly out?: string | undefined;
  /** Go on with the measurement in `out`. */
  readonly resume?: boolean | undefined;
  /** Replace the file `out`. */
  readonly overwrite?: boolean | undefined;
  /** Default `cpu`. */
  readonly device?: string | undefined;
  /** Images at a time. Default `256`. */
  readonly batchSize?: number | undefined;
  /** Stops between two batches; what was measured is kept. */
  readonly signal?: AbortSignal | undefined;
  /** Asked before each cut: true ends the work with what there is, to be gone on with by `resume`. */
  readonly isOver?: (() => boolean) | undefined;
  /** Makes the smaller models. Default `pruneModel`. */
  readonly cut?: CutModel | undefined;
  readonly data?: DataHooks | undefined;
}

const controlKinds: OptionKinds<SensitivityControl> = {
  out: 'string',
  resume: 'boolean',
  overwrite: 'boolean',
  device: 'string',
  batchSize: 'number',
  signal: 'object',
  isOver: 'function',
  cut: 'function',
  data: 'object',
};

export interface SensitivityHooks {
  /** Points that are measured, of how many. */
  readonly onPoint?: ((done: number, total: number) => void) | undefined;
  /** After each model that a search measured; with the share of the search that is done, about. */
  readonly onSearch?: ((record: SearchRecord, share: number) => void) | undefined;
}

export interface SensitivityRun {
  /** As it stands in the file. */
  readonly file: SensitivityFile;
  /** Whether everything is measured, and the search, if there is one, at its end. */
  readonly finished: boolean;
}

/**
 * Cuts each part of a model alone at several rates and measures each time loss and accuracy on held-out images, unaugmented ones
 * of the training split unless told otherwise; then searches for rates if asked. The model stays as it is. With `out` everything is
 * written as it is found, and `resume` goes on: the file ends as if nothing had stopped it.
 * @throws UsageError, DataError, FormatError
 */
export async function sensitivityRun(
  given: SensitivitySettings,
  control: SensitivityControl = {},
  hooks: SensitivityHooks = {},
): Promise<SensitivityRun> {
  resolveSensitivity(given);
  checkOptions('sensitivityRun: control', control, controlKinds);
  const { out, resume = false, overwrite = false, device = 'cpu', signal } = control;
  if (resume && out === undefined) {
    throw new UsageError('sensitivity: got resume without out, expected the file to go on with.');
  }
  if (out !== undefined && !resume) checkOut(out, { overwrite });
  const earlier = resume && out !== undefined ? readSensitivity(out) : undefined;
  const { model, info, isOurs } = await openModelFile(given.model, given.import);
  try {
    const { importance = earlier?.importance } = given;
    const told = resolveSensitivity({ ...given, importance }, familyNamed(model.config));
    const { dataset: name, data, seed, scoreBatches: batches } = told;
    const found = await openDataFor(model, { dataset: name, data }, control.data);
    noteAssumedPixels(info, found.info, control.data);
    const dataset = withModelInfo(found, info, { takesClasses: !isOurs });
    // Of a measurement that is gone on with it stands in the file.
    const norms = earlier
      ? (earlier.bnBatches ?? 0)
      : usualNormBatches(model, dataset.train.length);
    const isTold = earlier !== undefined || given.bnBatches !== undefined;
    const note = isTold ? undefined : keptNormsNote(model, dataset.train.length, normBatch);
    if (note !== undefined) control.data?.onNote?.(note);
    // As many as there are, where more were asked for.
    const images = Math.min(told.images, dataset[told.split].length);
    const settings = { ...told, images, bnBatches: given.bnBatches ?? norms };
    const precision = precisionOn(device, settings.precision);
    const kinds = settings.kinds ?? defaultKinds(model);
    const header = headerOf(settings, { arch: model.config.arch, precision, kinds });
    if (earlier) checkSame(out ?? '', earlier, header);
    const { split } = settings;
    const heldOut = await heldOutImages('sensitivity', dataset, { split, images, seed });
    model.to(device);
    const work: Work = {
      model,
      settings,
      kinds,
      evaluate: evaluator(heldOut, { model, path: settings.model, split, precision }, control),
      calibration:
        needForImages(settings) === undefined
          ? undefined
          : calibrationOf(dataset, { batches, device, seed, signal }),
      cut: control.cut ?? cutOf(dataset, settings, { device, signal }),
      isOver: control.isOver,
      search: plannedSearch(model, settings, kinds, earlier?.search),
      file: new GrowingFile(header, out, earlier),
    };
    try {
      return await measureAndSearch(work, hooks);
    } catch (error) {
      const { content } = work.file;
      // Passes over images stop by throwing.
      if (!(signal?.aborted === true && error === signal.reason && content)) throw error;
      return { file: content, finished: false };
    }
  } finally {
    model.dispose();
  }
}

/** What a measurement works with. */
interface Work {
  readonly model: ImageModel;
  readonly settings: ResolvedSensitivitySettings;
  readonly kinds: readonly string[];
  readonly evaluate: Evaluate;
  readonly calibration: Calibration | undefined;
  readonly cut: CutModel | undefined;
  readonly isOver: (() => boolean) | undefined;
  /** As the file has it from its first point on; undefined where nothing was or will be searched. */
  readonly search: SearchRecord | undefined;
  readonly file: GrowingFile;
}

/**
 * The search that is to be gone on with, or begun: in the file before it begins, so that whoever resumes the measurement need not
 * say it again. Without one in the settings, that of the file.
 * @throws UsageError for a budget that is none, before anything is measured
 */
function plannedSearch(
  model: ImageModel,
  { search, rates }: ResolvedSensitivitySettings,
  kinds: readonly string[],
  before: SearchRecord | undefined,
): SearchRecord | undefined {
  if (!search) return before;
  const { method, target, maxRate } = search;
  const sizes = groupsOfKinds(model, kinds).map(({ name, size }) => [name, size] as const);
  const parts = [{ groups: Object.fromEntries(sizes) }];
  const budget = limitOfTarget(target, { dense: inspectModel(model), parts });
  if (before && sameSearch(before, { method, budget, maxRate })) return before;
  const largest = maxRate ?? Math.max(...rates);
  return { method, budget, maxRate: largest, finished: false, candidates: [], evaluations: [] };
}

/** What is measured, and how. */
interface Measured {
  readonly model: ImageModel;
  readonly path: string;
  readonly split: 'train' | 'test';
  readonly precision: ComputePrecision;
}

/** Loss and accuracy on the images held out. */
function evaluator(
  heldOut: Dataset,
  { model, path, split, precision }: Measured,
  { device = 'cpu', batchSize = 256, signal }: SensitivityControl,
): Evaluate {
  return async (cut) => {
    const found = await evaluateModel(cut, heldOut, {
      split,
      batchSize,
      device,
      precision,
      asInTraining: true,
      ...(signal && { signal }),
    }).catch(namingNotFinite(`sensitivity: ${path}${cut === model ? '' : ', after a cut'}`));
    if (found) return found;
    signal?.throwIfAborted();
    throw new Error('sensitivity: the evaluation was stopped.');
  };
}

async function measureAndSearch(work: Work, hooks: SensitivityHooks): Promise<SensitivityRun> {
  const { settings, search, file } = work;
  const sensitivity = await measureParts(work, hooks);
  const written = file.write(sensitivity, search);
  if (!settings.search || !search || !isComplete(sensitivity)) {
    return { file: written, finished: isComplete(sensitivity) };
  }
  const record = await searchFrom(work, sensitivity, search, hooks);
  return { file: file.write(sensitivity, record), finished: record.finished };
}

async function measureParts(
  { model, settings, kinds, evaluate, calibration, cut, isOver, search, file }: Work,
  hooks: SensitivityHooks,
): Promise<Sensitivity> {
  const { importance, score, by, rates, roundTo } = settings;
  const { content: earlier } = file;
  return measureSensitivity(model, {
    evaluate,
    calibration,
    importance,
    score,
    by,
    rates,
    roundTo,
    kinds,
    ...(cut && { cut }),
    isOver,
    known: earlier && sensitivityOf(earlier),
    onPoint: (state, done, total) => {
      file.write(state, search);
      hooks.onPoint?.(done, total);
    },
  });
}

async function searchFrom(
  { model, settings, kinds, evaluate, calibration, cut, isOver, file }: Work,
  sensitivity: Sensitivity,
  known: SearchRecord,
  hooks: SensitivityHooks,
): Promise<SearchRecord> {
  const { importance, score, seed } = settings;
  const { method, budget, maxRate } = known;
  const groups = groupsOfKinds(model, kinds);
  return searchRates(model, {
    method,
    budget,
    sensitivity,
    scores: await scoreUnits(model, groups, { importance, score }, calibration),
    evaluate,
    maxRate,
    seed,
    isOver,
    ...(cut && { cut }),
    known,
    onEvaluation: (state, share) => {
      file.write(sensitivity, state);
      hooks.onSearch?.(state, share);
    },
  });
}

/** What the library's functions take of a file. */
export function sensitivityOf({ by, rates, roundTo, dense, parts }: SensitivityFile): Sensitivity {
  return { by, rates, roundTo, dense, parts };
}
