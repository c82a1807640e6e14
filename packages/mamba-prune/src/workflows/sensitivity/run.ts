// Measures how sensitive the parts of a model are, and searches for rates: from a model's file to sensitivity.json.
import { existsSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { digestFile } from '@mamba-prune/libtorch/files';
import { UsageError } from '../../errors.js';
import { evaluateModel } from '../../inference/evaluate-model.js';
import { precisionOn } from '../../models/precision.js';
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
import { stableJson } from '../../training/options.js';
import { noteAssumedPixels } from '../assumed-pixels.js';
import { type DataHooks, openDataFor, withModelInfo } from '../fit.js';
import { openModelFile } from '../open-model-file.js';
import { calibrationOf } from '../prune/calibration.js';
import { cutOf, usualNormBatches } from './cut.js';
import {
  type SearchRecord,
  type SensitivityFile,
  isSensitivity,
  readSensitivity,
  writeSensitivity,
} from './file.js';
import { heldOutImages } from './images.js';
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

/** Everything of a file but what is measured. */
type Header = Omit<SensitivityFile, 'finished' | 'dense' | 'parts' | 'search'>;

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
  const told = resolveSensitivity(given);
  const { out, resume = false, overwrite = false, device = 'cpu', signal } = control;
  if (resume && out === undefined) {
    throw new UsageError('sensitivity: got resume without out, expected the file to go on with.');
  }
  if (out !== undefined && !resume) {
    checkIsFree(out, overwrite);
    checkIsJson(out);
  }
  const earlier = resume && out !== undefined ? readSensitivity(out) : undefined;
  const { model, info } = await openModelFile(told.model, told.import);
  try {
    const { dataset: name, data, seed, scoreBatches: batches } = told;
    const found = await openDataFor(model, { dataset: name, data }, control.data);
    noteAssumedPixels(info, found.info, control.data);
    const dataset = withModelInfo(found, info);
    // Of a measurement that is gone on with it stands in the file.
    const norms = earlier
      ? (earlier.bnBatches ?? 0)
      : usualNormBatches(model, dataset.train.length);
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
    const evaluate: Evaluate = async (cut) => {
      const { batchSize = 256 } = control;
      const found = await evaluateModel(cut, heldOut, {
        split,
        batchSize,
        device,
        precision,
        asInTraining: true,
        ...(signal && { signal }),
      });
      if (found) return found;
      signal?.throwIfAborted();
      throw new Error('sensitivity: the evaluation was stopped.');
    };
    const { importance, score, by, rates, roundTo } = settings;
    const calibration =
      needForImages({ importance, score }) === undefined
        ? undefined
        : calibrationOf(dataset, { batches, device, seed, signal });
    let file: SensitivityFile | undefined = earlier;
    const keep = (sensitivity: Sensitivity, search: SearchRecord | undefined): void => {
      const { dense, parts } = sensitivity;
      const finished = isComplete(sensitivity);
      file = withoutUndefined({ ...header, finished, dense, parts: [...parts], search });
      if (out !== undefined) writeSensitivity(out, file);
    };
    const { isOver } = control;
    const cut = control.cut ?? cutOf(dataset, settings, { device, signal });
    try {
      const sensitivity = await measureSensitivity(model, {
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
          keep(state, earlier?.search);
          hooks.onPoint?.(done, total);
        },
      });
      const { search } = settings;
      if (!search || !isComplete(sensitivity)) {
        keep(sensitivity, earlier?.search);
        return { file: written(file), finished: isComplete(sensitivity) };
      }
      const { method, target, maxRate } = search;
      const budget = limitOfTarget(target, sensitivity);
      const before = earlier?.search;
      const record = await searchRates(model, {
        method,
        budget,
        sensitivity,
        scores: await scoreUnits(
          model,
          groupsOfKinds(model, kinds),
          { importance, score },
          calibration,
        ),
        evaluate,
        maxRate,
        seed,
        isOver,
        ...(cut && { cut }),
        ...(before && sameSearch(before, { method, budget, maxRate }) && { known: before }),
        onEvaluation: (state, share) => {
          keep(sensitivity, state);
          hooks.onSearch?.(state, share);
        },
      });
      keep(sensitivity, record);
      return { file: written(file), finished: record.finished };
    } catch (error) {
      // Passes over images stop by throwing.
      if (!(signal?.aborted === true && error === signal.reason && file)) throw error;
      return { file, finished: false };
    }
  } finally {
    model.dispose();
  }
}

/** What the library's functions take of a file. */
export function sensitivityOf({ by, rates, roundTo, dense, parts }: SensitivityFile): Sensitivity {
  return { by, rates, roundTo, dense, parts };
}

function headerOf(
  settings: ResolvedSensitivitySettings,
  { arch, precision, kinds }: { arch: string; precision: string; kinds: readonly string[] },
): Header {
  const { model, dataset, data, split, images, importance, score, scoreBatches, seed } = settings;
  const { by, rates, roundTo } = settings;
  const path = resolve(model);
  return {
    kind: 'mamba-prune sensitivity',
    format: 1,
    model: { path, ...digestFile(path), arch },
    ...(settings.import &&
      Object.keys(settings.import).length > 0 && {
        import: settings.import as Record<string, unknown>,
      }),
    images: { dataset, ...(data !== undefined && { data: resolve(data) }), split, count: images },
    importance,
    score,
    scoreBatches,
    seed,
    precision,
    by,
    kinds: [...kinds],
    rates: [...rates],
    roundTo,
    ...(settings.compensate && { compensate: settings.compensate }),
    ...(settings.bnBatches > 0 && { bnBatches: settings.bnBatches }),
  };
}

/**
 * `prune --rates-from` and `report` take such files by their content, and people by their name.
 * @throws UsageError for another ending
 */
function checkIsJson(out: string): void {
  const ending = extname(out);
  if (ending.toLowerCase() === '.json') return;
  throw new UsageError(
    `sensitivity: \`out\`: ${out} ends ${ending === '' ? 'without a format' : `in ${ending}`}, expected .json, which is what is ` +
      `written. Give such a name, such as ${out.slice(0, out.length - ending.length)}.json.`,
  );
}

/** @throws UsageError if something is there that nobody asked to replace, or that is no measurement */
function checkIsFree(out: string, overwrite: boolean): void {
  if (!existsSync(out)) return;
  if (!isSensitivity(out)) {
    throw new UsageError(
      `sensitivity: ${out} exists and is no measurement, expected a new file or an earlier measurement. Give another name.`,
    );
  }
  if (overwrite) return;
  throw new UsageError(
    `sensitivity: ${out} exists, expected a new file. Go on with it (\`resume\`), replace it (\`overwrite\`), or give another name.`,
  );
}

/** @throws UsageError naming what is other than in the file that is gone on with */
function checkSame(out: string, earlier: SensitivityFile, header: Header): void {
  const facts = (of: Header): Record<string, unknown> => {
    const { model, images, import: said, ...rest } = of;
    const { dataset, split, count } = images;
    const { compensate, bnBatches } = of;
    return {
      model: model.sha256,
      dataset,
      split,
      images: count,
      import: said,
      ...rest,
      compensate,
      bnBatches,
    };
  };
  const [before, now] = [facts(earlier), facts(header)];
  for (const [name, value] of Object.entries(now)) {
    const [was, is] = [stableJson(before[name]), stableJson(value)];
    if (was === is) continue;
    throw new UsageError(
      name === 'model'
        ? `sensitivity: ${out} was measured on another file than ${header.model.path} is now. Measure it anew (\`overwrite\`).`
        : `sensitivity: ${out} was begun with ${name} ${was}, expected the same, got ${is}. Leave it out, or begin anew (\`overwrite\`).`,
    );
  }
}

function sameSearch(
  before: SearchRecord,
  {
    method,
    budget,
    maxRate,
  }: Pick<SearchRecord, 'method' | 'budget'> & { maxRate?: number | undefined },
): boolean {
  return (
    before.method === method &&
    stableJson(before.budget) === stableJson(budget) &&
    (maxRate === undefined || before.maxRate === maxRate)
  );
}

function withoutUndefined(file: SensitivityFile): SensitivityFile {
  const { search, ...rest } = file;
  return search ? file : rest;
}

function written(file: SensitivityFile | undefined): SensitivityFile {
  if (file) return file;
  throw new Error('sensitivity: nothing was measured.');
}
