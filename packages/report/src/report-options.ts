// What `writeReport` is told, checked before anything is read or measured.
import { UsageError } from 'mamba-prune';
import {
  type OptionKinds,
  type ReportHooks,
  type ReportOptions,
  checkOptions,
  checksOf,
  requireOptions,
  requirePath,
  shown,
  trainLimits,
  usualImages,
} from 'mamba-prune/internal';

const reportKinds: OptionKinds<ReportOptions> = {
  paths: 'array',
  out: 'string',
  images: 'number',
  dataset: 'string',
  data: 'string',
  benchBatches: 'array',
  withModels: 'boolean',
  device: ['string', 'function'],
  signal: 'object',
};

const hookKinds: OptionKinds<ReportHooks> = { onProgress: 'function', onNote: 'function' };

/** With what holds where nothing was said. */
export interface ResolvedReportOptions extends ReportOptions {
  readonly images: number;
  readonly withModels: boolean;
  readonly device: string | (() => string);
}

/** @throws UsageError for options or hooks that are unknown, of another kind or out of range */
export function resolveReportOptions(
  options: ReportOptions,
  hooks: ReportHooks,
): ResolvedReportOptions {
  const where = 'writeReport';
  requireOptions(where, options, reportKinds, ['paths']);
  checkOptions(`${where}: hooks`, hooks, hookKinds);
  const { out, images = usualImages, benchBatches, withModels = false, device = 'cpu' } = options;
  const { integer } = checksOf(where);
  checkPaths(`${where}: paths`, options.paths);
  if (out !== undefined) requirePath(`${where}: out`, out, 'the file to write');
  integer('images', images, { min: 0, max: trainLimits.images });
  for (const batch of benchBatches ?? []) {
    integer('benchBatches', batch, { min: 1, max: trainLimits.batchSize });
  }
  return { ...options, images, withModels, device };
}

/**
 * Paths of runs.
 * @throws UsageError if it is no array, or has none or something else in it
 */
export function checkPaths(where: string, paths: readonly string[]): void {
  if (!Array.isArray(paths)) {
    throw new UsageError(
      `${where}: got ${shown(paths)}, expected an array of folders, such as ['runs'].`,
    );
  }
  if (paths.length === 0) {
    throw new UsageError(`${where}: got an empty array, expected one folder of runs or more.`);
  }
  for (const path of paths) requirePath(where, path, 'a run, or of a folder that holds some');
}
