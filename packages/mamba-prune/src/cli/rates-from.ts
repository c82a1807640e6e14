// `prune --rates-from`: a rate for each group from sensitivity.json.
import { isDeepStrictEqual } from 'node:util';
import { digits } from '../format.js';
import type { ImageModel } from '../models/image-model.js';
import type { ImportOptions } from '../models/import/model.js';
import { defaultScore } from '../pruning/importances.js';
import { relativePath } from '../shell.js';
import type { PruneSettings } from '../workflows/prune/settings.js';
import { UsageError } from '../errors.js';
import type { SensitivityFile } from '../workflows/sensitivity/file.js';
import type { RatesFrom } from '../workflows/sensitivity/rates-from.js';
import type { CostTarget } from '../workflows/sensitivity/settings.js';
import type { Context } from './context.js';
import { inFlags } from './flag-spelling.js';
import type { CommonOptions } from './options/common.js';
import { type ImportFlags, importOptionsOf } from './options/import.js';
import type { PruningFlags } from './options/pruning.js';
import { flagOf } from './options/flag-name.js';
import { rateOfGroups } from '../pruning/group-patterns.js';
import { type ModelKind, hasRates, ratesOf } from './options/rates.js';

type ScoredBy = Pick<PruneSettings, 'importance' | 'score'>;

type PruneContext = Context<CommonOptions & ImportFlags & PruningFlags>;

/** Rates, and what the units were chosen by when these were measured. */
export interface TypedRates extends RatesFrom {
  readonly measured: {
    readonly where: string;
    readonly importance: string;
    readonly score: string;
  };
}

/** The file of --rates-from. */
export interface MeasuredRates {
  /** What messages call it. */
  readonly where: string;
  readonly file: SensitivityFile;
  /** Whether it was measured on the very file of the model that is cut. */
  readonly isOfFile: boolean;
}

/**
 * @param path - of the model's file
 * @returns undefined without --rates-from
 * @throws DataError for a file that is none
 */
export async function readRatesFrom(
  { given: { ratesFrom } }: PruneContext,
  path: string,
): Promise<MeasuredRates | undefined> {
  if (ratesFrom === undefined) return undefined;
  const { readSensitivity } = await import('../workflows/sensitivity/file.js');
  const { digestFile } = await import('@mamba-prune/libtorch/files');
  const file = readSensitivity(ratesFrom);
  const isOfFile = digestFile(path).sha256 === file.model.sha256;
  return { where: relativePath(ratesFrom), file, isOfFile };
}

/**
 * What is said of a model: what was typed, over what was said when this very file was measured. Another size of the images
 * would be another model, of whose losses the measurement knows nothing.
 */
export async function saidOfMeasured(
  context: PruneContext,
  measured: MeasuredRates | undefined,
): Promise<ImportOptions> {
  const typed: ImportOptions & Record<string, unknown> = {
    ...(await importOptionsOf(context.given)),
  };
  if (measured?.isOfFile !== true) return typed;
  const { where } = measured;
  const { import: before = {} } = measured.file;
  const tell = (names: readonly string[]): string =>
    names.map((name) => inFlags(`\`${name}\`${valueText(before[name])}`, context.flags)).join(', ');
  const names = Object.keys(before);
  const taken = names.filter((name) => !Object.hasOwn(typed, name));
  const others = names.filter(
    (name) => Object.hasOwn(typed, name) && !isDeepStrictEqual(typed[name], before[name]),
  );
  if (taken.length > 0)
    context.note(`Said of the model when ${where} was measured: ${tell(taken)}.`);
  if (others.length > 0) {
    context.note(
      `${where}: was measured with ${tell(others)}, and this run has other values of these, so that the losses measured are ` +
        'not those of its cuts.',
    );
  }
  return { ...before, ...typed };
}

/** Lists of names are long. */
const valueText = (value: unknown): string => {
  if (typeof value === 'number' || typeof value === 'string') return ` ${value}`;
  return Array.isArray(value) && value.length <= 4 ? ` ${value.join(',')}` : '';
};

/**
 * The rates that the file of --rates-from leads to.
 * @throws UsageError, DataError for the file of another model
 */
export async function typedRatesFrom(
  context: PruneContext,
  { path, model }: { readonly path: string; readonly model: ImageModel },
  kinds: readonly ModelKind[],
  { where, file: measured, isOfFile }: MeasuredRates,
): Promise<TypedRates> {
  const { given } = context;
  const { roundTo, maxRate, minWidth } = given;
  refuseWithout(given);
  const { ratesFrom } = await import('../workflows/sensitivity/rates-from.js');
  // Without a target that was typed those that were measured are cut.
  const known = measured.kinds.filter((kind) => kinds.some((own) => own.kind === kind));
  const targets = given.target === undefined && known.length > 0 ? known.join(',') : given.target;
  const rates = ratesOf({ ...given, ...(targets !== undefined && { target: targets }) }, kinds);
  const target = targetOf(given);
  if (target) refuseGrowth(given);
  const groups = model.pruningGroups();
  const rateOf = rateOfGroups(given, groups, Object.keys(rates));
  const found = ratesFrom(where, measured, model, {
    rates,
    target,
    roundTo,
    maxRate,
    minWidth,
    rateOf,
    isSaid: hasRates(given) || target !== undefined || rateOf !== undefined,
  });
  if (!isOfFile) {
    context.note(
      `${where}: was measured on other weights than those of ${relativePath(path)}, whose groups are as wide. Its rates are taken.`,
    );
  }
  context.note(
    `Rates of ${found.origin} in ${where}: a loss of ${digits(found.loss, 4)} on its images right after the cut, ` +
      `${digits(measured.dense.loss, 4)} before.`,
  );
  const { importance, score } = measured;
  return { ...found, measured: { where, importance, score } };
}

/** Tells whether the units will be chosen by something else than what the rates were measured with. */
export function noteOtherChoice(
  context: Pick<PruneContext, 'note'>,
  { where, importance, score }: TypedRates['measured'],
  { importance: other = importance, score: otherScore = defaultScore }: ScoredBy,
): void {
  if (other === importance && otherScore === score) return;
  context.note(
    `${where}: was measured with units chosen by ${importance} of ${score}, and this run chooses them by ` +
      `${other} of ${otherScore}, so that the losses measured are not those of its cuts. For the same units: ` +
      `--importance ${importance} --score ${score}`,
  );
}

/** @throws UsageError for flags that say which group loses how much in another way */
function refuseWithout({ ranking, normalize, nearZero, rankBy }: Partial<PruningFlags>): void {
  const typed = Object.entries({ ranking, normalize, nearZero, rankBy }).find(
    ([, value]) => value !== undefined,
  );
  if (!typed) return;
  throw new UsageError(
    `got ${flagOf(typed[0])} with --rates-from, which gives every group its own rate. Leave one of the two out.`,
  );
}

/** @throws UsageError for units that refill would give back to groups whose rates just meet the budget */
function refuseGrowth({ method, fillback = 0, refillBudget = 'add' }: Partial<PruningFlags>): void {
  if (method !== 'refill' || fillback === 0 || refillBudget === 'keep') return;
  throw new UsageError(
    `got --fillback ${fillback} with --rates-from and a budget: the model would grow above the budget by the units that ` +
      'return. Add --refill-budget keep, which cuts deeper for them, or leave --fillback out.',
  );
}

/** @throws UsageError for a budget that a measurement does not count, or two */
function targetOf(given: Partial<PruningFlags>): CostTarget | undefined {
  const { targetMacs, targetParams, targetFile, targetLatency } = given;
  const other = targetFile !== undefined ? '--target-file' : '--target-latency';
  if (targetFile !== undefined || targetLatency !== undefined) {
    throw new UsageError(
      `got ${other} with --rates-from, expected --target-macs or --target-params: a measurement counts these. Leave one of the two out.`,
    );
  }
  if (targetMacs !== undefined && targetParams !== undefined) {
    throw new UsageError(
      'got --target-macs and --target-params with --rates-from, expected one of them. Leave the other out.',
    );
  }
  if (targetMacs !== undefined) return { metric: 'macs', amount: targetMacs };
  return targetParams === undefined ? undefined : { metric: 'parameters', amount: targetParams };
}
