// What a pruning run begins with: the model, and a record without a cut.
import { resolve } from 'node:path';
import { digestFile } from '@mamba-prune/libtorch/files';
import { inspectModel } from '../../models/inspect.js';
import { DataError } from '../../data/errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { printableLine } from '../../printable.js';
import type { KeptUnits } from '../../models/groups.js';
import { defaultKinds } from '../../pruning/select-units.js';
import { firstEntries } from './cost-budget.js';
import { keptInHistory } from './kept-units.js';
import { type OpenedModelFile, openModelFile } from '../open-model-file.js';
import type { ResolvedPruneSettings } from './settings.js';
import type { PruningRecord } from './record.js';

/** Where a run stands, and the model that it has there. */
export interface Standing {
  record: PruningRecord;
  /** The run's; it disposes models that it replaces. */
  model: ImageModel;
  info: ModelInfo;
  /** Of that model; undefined if it has not been measured. */
  accuracy?: number | undefined;
  /** Epochs of the training that regularised it, where the record is to say so (`cutAfterEpoch`). */
  cutAfterEpoch?: number | undefined;
  /** `cut`: the next round begins. `train`: the last cut is made and is to be trained on. */
  at: 'cut' | 'train' | 'done';
  /** Why a run that had come further begins anew here. */
  readonly lost?: string;
}

/**
 * What is pruned, and the record of a run that has not cut anything yet.
 * @param opened - its model, where that is open already
 */
export async function openSource(
  settings: ResolvedPruneSettings,
  opened?: Pick<OpenedModelFile, 'model' | 'info'>,
): Promise<Standing> {
  const { model, info: stored } = opened ?? (await openModelFile(settings.model, settings.import));
  const { dataset, data } = settings;
  // Where its images are now.
  const isMoved = data !== undefined && dataset === stored.dataset;
  const info = isMoved ? { ...stored, data: resolve(data) } : stored;
  try {
    return { model, info, at: 'cut', record: firstRecord(settings, model, info) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

function firstRecord(
  settings: ResolvedPruneSettings,
  model: ImageModel,
  info: ModelInfo,
): PruningRecord {
  const { groups, parameters, macs } = inspectModel(model, info);
  const { method, rates, importance, score, ranking, normalize } = settings;
  const { rateOf, minWidth, rankBy } = settings;
  const costBudget = firstEntries(settings, { model, info });
  const { roundTo, maxRate, perRound, rewind, rounds, importanceReason } = settings;
  const widths = Object.fromEntries(groups.map(({ name, width }) => [name, width]));
  const kept = keptUnits(settings.model, info);
  return {
    kind: 'mamba-prune pruning',
    format: 2,
    method,
    source: resolve(settings.model),
    rates: { ...rates },
    leftAlone: defaultKinds(model).filter((kind) => !(kind in rates)),
    importance,
    importanceReason,
    score,
    ranking,
    normalize,
    roundTo,
    maxRate,
    ...(rateOf && { rateOf: { ...rateOf } }),
    ...(minWidth !== undefined && { minWidth }),
    ...(costBudget && { costBudget }),
    ...(rankBy && { rankBy }),
    perRound,
    rewind,
    plannedRounds: rounds,
    kinds: Object.fromEntries(groups.map(({ name, kind }) => [name, kind])),
    denseWidths: Object.fromEntries(groups.map(({ name, denseWidth }) => [name, denseWidth])),
    widthsBefore: widths,
    widthsAfter: widths,
    kept: checkedKept(settings.model, kept, groups),
    keptInSource: {},
    parameters: { before: parameters, after: parameters },
    macs: { before: macs, after: macs },
    accuracy: { before: null, afterCut: null, after: null },
    rounds: [],
  };
}

function keptUnits(path: string, { history }: ModelInfo): KeptUnits {
  try {
    return keptInHistory(history);
  } catch (error) {
    throw damagedHistory(path, (error as Error).message);
  }
}

/** @throws DataError if a model's history does not tell of this model */
function checkedKept(
  path: string,
  kept: KeptUnits,
  groups: readonly { name: string; width: number; denseWidth: number }[],
): Record<string, number[]> {
  const byName = new Map(groups.map((group) => [group.name, group]));
  const entries = Array.from(kept, ([name, units]): [string, number[]] => {
    const group = byName.get(name);
    const last = units.at(-1) ?? -1;
    const increasing = units.every((unit, i) => unit > (units[i - 1] ?? -1));
    if (group?.width !== units.length || last >= group.denseWidth || !increasing) {
      throw damagedHistory(
        path,
        `it keeps ${units.length} units of '${printableLine(name)}', up to unit ${last}, but the model has ` +
          (group ? `${group.width} of ${group.denseWidth}` : 'no such group'),
      );
    }
    return [name, [...units]];
  });
  return Object.fromEntries(entries);
}

function damagedHistory(path: string, problem: string): DataError {
  return new DataError(
    `${path}: the history in this model file does not tell which units it has: ${problem}. ` +
      'Prune the model that it was made from, or one whose file is whole.',
    { file: path },
  );
}

/** SHA-256 of a model's file, by which a resumed run sees that it is still the same. */
export function digestOf(path: string): string {
  return fileFacts(path).sha256;
}

/** By which the file is known again, wherever it was moved to. */
export function fileFacts(path: string): { path: string; sha256: string; bytes: number } {
  return { path, ...digestFile(path) };
}
