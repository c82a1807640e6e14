// sensitivity.json: what was measured of a model, and what a search found. It is written after every point, so
// that a measurement that is stopped goes on where it was. There are no times in it: equal work gives equal files.
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readTextFile, writeFileAtomic } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { fitting, readJson } from '../../files/json.js';
import { DataError } from '../../data/errors.js';
import { makeFolder } from '../../files/folder.js';
import { whyMissing } from '../../files/missing.js';
import { compensationTargetNames } from '../../pruning/compensation/choices.js';
import { costMetrics } from '../../pruning/sensitivity/curve.js';
import { sensitivityParts } from '../../pruning/sensitivity/parts.js';

/** Far more than any network has; what reads a file makes something for each. */
const mostParts = 100_000;

const share = z.number().min(0).lt(1);
const size = z.int().min(1);
const modelMeasured = {
  loss: z.number().min(0),
  accuracy: z.number().min(0).max(1),
  parameters: z.int().min(0),
  macs: z.number().min(0),
};
const measured = z.object(modelMeasured);

const part = z.object({
  name: z.string(),
  kinds: z.array(z.string()).readonly(),
  /** Size of each group, by name. */
  groups: z.record(z.string(), size),
  /** Units that a group keeps at least, of those that keep more than one. */
  fewest: z.record(z.string(), size).optional(),
  points: z.array(z.object({ rate: share, kept: size, ...modelMeasured })).readonly(),
});

const budget = z.object({ metric: z.enum(costMetrics), most: z.number().min(0) });

/** Rates that were tried, and what came of them. */
const candidate = z.object({
  /** Where they come from: `uniform`, `global ranking`, `sensitivity`, or the search. */
  name: z.string(),
  /** Share to remove, by group name. */
  rates: z.record(z.string(), share),
  ...modelMeasured,
});

export const searchMethods = ['greedy', 'evolutionary'] as const;
export type SearchMethod = (typeof searchMethods)[number];

const search = z.object({
  method: z.enum(searchMethods),
  budget,
  /** Largest share that a group may lose. */
  maxRate: z.number().min(0).max(1),
  /** Whether it came to its end; else it goes on with `--resume`. */
  finished: z.boolean(),
  /** The model of least loss so far, which pruning takes. */
  best: candidate.optional(),
  /** What it began from, and its own result. */
  candidates: z.array(candidate),
  /** Every model that was measured, in order: the widths of all groups, separated by commas, and its figures. */
  evaluations: z.array(z.object({ widths: z.string(), ...modelMeasured })),
});

const ownKind = 'mamba-prune sensitivity';

const fileSchema = z.object({
  kind: z.literal(ownKind),
  format: z.literal(1),
  /** The file that was measured; by its digest it is known again. */
  model: z.object({
    path: z.string(),
    sha256: z.string(),
    bytes: z.int().min(0),
    arch: z.string(),
  }),
  /** What the file does not tell of its model, if another program wrote it. */
  import: z.record(z.string(), z.unknown()).optional(),
  /** Held-out images: so many of a part of the data set, evenly over the classes. */
  images: z.object({
    dataset: z.string(),
    data: z.string().optional(),
    split: z.enum(['train', 'test']),
    count: z.int().min(1),
  }),
  /** By which units were scored. */
  importance: z.string(),
  score: z.string(),
  scoreBatches: z.int().min(1),
  seed: z.int().min(0),
  precision: z.string(),
  by: z.enum(sensitivityParts),
  /** Of the groups that are cut. */
  kinds: z.array(z.string()).min(1),
  rates: z.array(share).min(1),
  roundTo: z.int().min(1),
  /** What every cut was compensated with; left out where none was. */
  compensate: z
    .object({ target: z.enum(compensationTargetNames), images: z.int().min(0) })
    .optional(),
  /** Batches that batch normalisation was measured with after every cut; left out where it was not. */
  bnBatches: z.int().min(1).optional(),
  /** Whether every part has a point at every rate. */
  finished: z.boolean(),
  /** The whole model. */
  dense: measured,
  parts: z.array(part).min(1).max(mostParts),
  search: search.optional(),
});

/** A file as it stands; its `by`, `rates`, `roundTo`, `dense` and `parts` are a `Sensitivity`. */
export type SensitivityFile = z.output<typeof fileSchema>;
export type SearchRecord = NonNullable<SensitivityFile['search']>;
export type SearchCandidate = SearchRecord['candidates'][number];
export type SearchEvaluation = SearchRecord['evaluations'][number];

export function writeSensitivity(path: string, file: SensitivityFile): void {
  makeFolder(dirname(resolve(path)));
  // Through the schema, so that the order of the keys is always the same.
  writeFileAtomic(path, `${JSON.stringify(fileSchema.parse(file), null, 1)}\n`);
}

/** Whether a path is the file of a measurement, of this version or another one: nothing else is ever replaced. */
export function isSensitivity(path: string): boolean {
  try {
    const json: unknown = JSON.parse(readTextFile(path));
    return z.looseObject({ kind: z.literal(ownKind) }).safeParse(json).success;
  } catch {
    return false;
  }
}

/** @throws DataError if there is no such file, or it is none of these */
export function readSensitivity(path: string): SensitivityFile {
  if (!existsSync(path)) {
    throw new DataError(
      `${path} ${whyMissing(path)}, expected the file of a measurement. Make it with: mamba-prune sensitivity MODEL --out ${path}`,
      { file: path },
    );
  }
  if (statSync(path).isDirectory()) {
    throw new DataError(
      `${path} is a folder, expected the file of a measurement, such as ${join(path, 'sensitivity.json')}. Make one with: ` +
        'mamba-prune sensitivity MODEL --out FILE',
      { file: path },
    );
  }
  return readJson(
    path,
    parse,
    (problem, cause) =>
      new DataError(
        `${path} is no measurement of sensitivity: ${problem}. Make one with: mamba-prune sensitivity MODEL --out FILE`,
        { file: path, cause },
      ),
  );
}

function parse(json: unknown): SensitivityFile {
  const { kind, format } = z.looseObject({}).safeParse(json).data ?? {};
  if (kind !== ownKind) throw new Error('another program or command wrote it');
  if (format !== 1) throw new Error('a newer version of mamba-prune wrote it');
  const file = fitting(fileSchema, json);
  const wrong = contradiction(file);
  if (wrong !== undefined) throw new Error(wrong);
  return file;
}

/** What does not fit together in a file that has the right form. */
function contradiction({ rates, parts, finished }: SensitivityFile): string | undefined {
  if (rates.some((rate, i) => rate <= (rates[i - 1] ?? 0))) return 'its rates do not increase';
  const groups = new Set<string>();
  for (const { name, groups: sizes, points } of parts) {
    const names = Object.keys(sizes);
    const twice = names.find((group) => groups.has(group));
    if (twice !== undefined) return `the group '${twice}' is in two parts`;
    if (names.length === 0) return `the part '${name}' has no groups`;
    for (const group of names) groups.add(group);
    const units = Object.values(sizes).reduce((sum, count) => sum + count, 0);
    const large = points.find(({ kept }) => kept > units);
    if (large) return `'${name}' keeps ${large.kept} of ${units} units`;
    const foreign = points.find(({ rate }, i) => rate !== rates[i] && finished);
    const unknown = points.find(({ rate }) => !rates.includes(rate)) ?? foreign;
    if (unknown) return `'${name}' has a point at ${unknown.rate}, which is none of the rates`;
    if (finished && points.length !== rates.length) {
      return `'${name}' has ${points.length} points for ${rates.length} rates`;
    }
  }
  return undefined;
}
