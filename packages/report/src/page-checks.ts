// What the functions that make pages and pictures are given, as it comes from JavaScript or from a file.
import type { CompareResults } from 'mamba-prune/workflows';
import { type OptionKinds, requireOptions, requirePath } from 'mamba-prune/internal';
import type { FoundRuns } from './data/find-runs.js';
import type { PictureHeading, PicturedComparison } from './page-data/comparison.js';
import type { ReportData } from './page-data/report.js';
import type { EmbeddedModel } from './report-html.js';

const foundKinds: OptionKinds<FoundRuns> = {
  root: 'string',
  comparisonRoot: 'string',
  runs: 'array',
  comparisons: 'array',
  sensitivities: 'array',
  damaged: 'array',
};

/** @throws UsageError if it is not what `findRuns` gives */
export function checkFound(where: string, found: FoundRuns): void {
  const lists = ['runs', 'comparisons', 'sensitivities', 'damaged'] as const;
  requireOptions(where, found, foundKinds, ['root', 'comparisonRoot', ...lists]);
  for (const name of lists) {
    for (const path of found[name]) requirePath(`${where}: ${name}`, path, 'a folder or file');
  }
}

const reportKinds: OptionKinds<ReportData> = {
  kind: 'string',
  format: 'number',
  version: 'string',
  created: 'string',
  studio: 'any',
  runs: 'array',
  comparisons: 'array',
  sensitivities: 'array',
  latency: 'object',
  evaluation: 'object',
  kinds: 'object',
  notes: 'array',
};

const embeddedKinds: OptionKinds<EmbeddedModel> = { model: 'object', file: 'object' };

/** @throws UsageError if the data are not those of a page, or a model is not one to put into it */
export function checkPage(where: string, data: ReportData, models: readonly EmbeddedModel[]): void {
  requireOptions(where, data, reportKinds, ['runs', 'comparisons', 'notes']);
  requireOptions(where, { models }, { models: 'array' }, ['models']);
  for (const model of models) {
    requireOptions(`${where}: models`, model, embeddedKinds, ['model', 'file']);
  }
}

/** All that results.json has: whoever has read it gives it as it is. */
type Compared = PicturedComparison &
  CompareResults & { kind: string; format: number; settings: object };

const comparedKinds: OptionKinds<Compared> = {
  kind: 'string',
  format: 'number',
  done: 'number',
  planned: 'number',
  methods: 'array',
  runs: 'array',
  tests: 'array',
  baselineTests: 'array',
  scratchTests: 'array',
  settings: 'object',
  amountsAt: 'array',
};

const headingKinds: OptionKinds<PictureHeading> = { title: 'string', lines: 'array' };

const methodKinds: OptionKinds<PicturedComparison['methods'][number]> = {
  method: 'string',
  rate: 'number',
  accuracy: 'number',
  deviation: ['number', 'null'],
  macs: 'number',
};

const runKinds: OptionKinds<PicturedComparison['runs'][number]> = {
  method: 'string',
  rate: 'number',
  seed: 'number',
  accuracy: 'number',
};

/** @throws UsageError if there is not all that a picture shows, or it is of another kind */
export function checkPicture(
  where: string,
  compared: PicturedComparison,
  heading: PictureHeading,
): void {
  requireOptions(where, compared, comparedKinds, ['methods', 'runs']);
  requireOptions(`${where}: heading`, heading, headingKinds, ['title', 'lines']);
  for (const method of compared.methods) requireRead(`${where}: methods`, method, methodKinds);
  for (const run of compared.runs) requireRead(`${where}: runs`, run, runKinds);
  for (const amount of compared.amountsAt ?? []) {
    requireRead(`${where}: amountsAt`, amount, { rate: 'number' });
  }
}

/** An entry that may have more than is read of it, as those of other versions have. */
function requireRead<T extends object>(where: string, entry: T, kinds: OptionKinds<T>): void {
  const names = Object.keys(kinds) as (keyof T & string)[];
  const isObject =
    typeof entry === 'object' && !Array.isArray(entry) && (entry as T | null) !== null;
  const read = isObject ? Object.fromEntries(names.map((name) => [name, entry[name]])) : entry;
  requireOptions(where, read, kinds, names);
}
