// What decides a measurement, as the head of its file tells it: a measurement is gone on with where it is the same.
import { resolve } from 'node:path';
import { digestFile } from '@mamba-prune/libtorch/files';
import { UsageError } from '../../errors.js';
import { stableJson } from '../../training/options.js';
import type { SearchRecord, SensitivityFile } from './file.js';
import type { ResolvedSensitivitySettings } from './settings.js';

/** Everything of a file but what is measured. */
export type Header = Omit<SensitivityFile, 'finished' | 'dense' | 'parts' | 'search'>;

export function headerOf(
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

/** @throws UsageError naming what is other than in the file that is gone on with */
export function checkSame(out: string, earlier: SensitivityFile, header: Header): void {
  const facts = (of: Header): Record<string, unknown> => {
    const { model, images, import: said, ...rest } = of;
    const { dataset, split, count } = images;
    const { compensate, bnBatches } = of;
    return {
      model: model.sha256,
      dataset,
      split,
      images: count,
      ...Object.fromEntries(
        Object.entries(said ?? {}).map(([name, value]) => [`import.${name}`, value]),
      ),
      ...rest,
      compensate,
      bnBatches,
    };
  };
  const [before, now] = [facts(earlier), facts(header)];
  const said = Object.keys(before).filter((name) => name.startsWith('import.'));
  for (const name of new Set([...Object.keys(now), ...said])) {
    const [was, is] = [stableJson(before[name]), stableJson(now[name])];
    if (was === is) continue;
    throw new UsageError(
      name === 'model'
        ? `sensitivity: ${out} was measured on another file than ${header.model.path} is now. Measure it anew (\`overwrite\`).`
        : `sensitivity: ${out} was begun with \`${name}\` ${was}, expected the same, got ${is}. Leave it out, or begin anew (\`overwrite\`).`,
    );
  }
}

/** Whether a search is the one that the file has. */
export function sameSearch(
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
