// Which importance a run has, and why: what it was told, what it began with, or the default of its inputs.
import type { Family } from '../../models/family.js';
import { defaultImportance, defaultScore } from '../../pruning/importances.js';
import type { PruneSettings } from './settings.js';

/**
 * Why a run has its importance. `given`: it was asked for. `images`: the default, as there are images;
 * `family`: likewise, but that of the model's family;
 * `no images`: the default without any. `score`: the norm that the score activation multiplies by.
 * `unused`: the cut goes by the norm that RSST regularised.
 */
export const importanceReasons = [
  'given',
  'images',
  'family',
  'no images',
  'score',
  'unused',
] as const;
export type ImportanceReason = (typeof importanceReasons)[number];

/**
 * The settings with an importance and the reason for it. Settings that name one are returned as they are, so
 * that those of a run made before there was a choice still equal what it was told.
 * @param family - of the model
 */
export function decideImportance<S extends ImportanceInputs>(
  settings: S,
  { importance: ofFamily }: Pick<Family, 'importance'> = {},
): S {
  const { importance, dataset, score = defaultScore } = settings;
  if (importance !== undefined) return settings;
  const hasImages = dataset !== undefined;
  const unused = isUnused(settings);
  return {
    ...settings,
    importance: defaultImportance(hasImages && !unused, score, ofFamily),
    importanceReason: unused
      ? 'unused'
      : score === 'activation'
        ? 'score'
        : hasImages
          ? ofFamily === undefined
            ? 'images'
            : 'family'
          : 'no images',
  };
}

/** RSST's cut goes by the norm that it regularised, unless the doomed units were chosen before. */
export const isUnused = ({ method, rsst }: Pick<ImportanceInputs, 'method' | 'rsst'>): boolean =>
  method === 'rsst' && rsst?.units !== 'doomed';

export type ImportanceInputs = Partial<
  Pick<PruneSettings, 'importance' | 'importanceReason' | 'score' | 'dataset' | 'rsst' | 'method'>
>;

/**
 * The settings with the importance that a run began with, unless they name one: a default that has
 * changed since changes nothing of a run that is gone on with.
 * @param begun - those that the run's config.json holds
 */
export function keepImportance<S extends ImportanceInputs>(
  settings: S,
  begun: ImportanceInputs,
): S {
  const { importance, importanceReason } = begun;
  const kept = settings.importance ?? importance;
  return {
    ...settings,
    ...(kept !== undefined && { importance: kept }),
    ...(kept === importance && importanceReason !== undefined && { importanceReason }),
  };
}
