// tuning.json in the folder of a comparison: the learning rates that were chosen for its methods.
import { relativePath } from '../../shell.js';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { fitting, readJson } from '../../files/json.js';
import { UsageError } from '../../errors.js';
import { RunFolderError } from '../../training/errors.js';
import { differences } from './changed-settings.js';
import { compareMethods, methodsOf } from './methods.js';
import { allSeeds } from './seeds.js';
import type { CompareSettings } from './settings.js';

const kind = 'mamba-prune tuning';
const fileName = 'tuning.json';

const fileSchema = z.looseObject({
  kind: z.literal(kind),
  format: z.literal(1),
  rate: z.number(),
  seed: z.number(),
  chosen: z.partialRecord(z.enum(compareMethods), z.number().positive()),
  settings: z.looseObject({
    train: z.looseObject({ arch: z.string(), dataset: z.string(), model: z.looseObject({}) }),
  }),
});

/** Where the runs of a tuning lie. @param out - folder of the comparison */
export const tuningFolder = (out: string): string => join(out, 'tune');

/** One method trained with one learning rate. */
export interface TunedRun {
  readonly method: (typeof compareMethods)[number];
  readonly lr: number;
  /** On the test images, after all training; share of 1. */
  readonly accuracy: number;
  /** Path in the folder of the tuning. */
  readonly run: string;
}

export interface TuningResults {
  /** That was removed. */
  readonly rate: number;
  readonly seed: number;
  readonly lrs: readonly number[];
  readonly runs: readonly TunedRun[];
  /** Of each method that has been trained with all, the rate of the highest accuracy; of equal ones the lowest. */
  readonly chosen: NonNullable<CompareSettings['lrOf']>;
  /** Methods whose best rate is the lowest or the highest that was tried: one beyond it may be better. */
  readonly atTheEdge: readonly (typeof compareMethods)[number][];
}

/** @param out - folder of the comparison */
export function writeTuning(out: string, results: TuningResults, settings: CompareSettings): void {
  const json = { kind, format: 1, ...results, settings };
  writeFileAtomic(join(resolve(out), fileName), `${JSON.stringify(json, null, 1)}\n`);
}

/**
 * The learning rates that a comparison which begins now gets from the tuning in its folder.
 * @returns undefined if there was none
 * @throws UsageError if the tuning was of other settings, or its seed is compared too; RunFolderError if its file is damaged
 */
export function tunedRates(out: string, settings: CompareSettings): CompareSettings['lrOf'] {
  const path = join(resolve(out), fileName);
  if (!existsSync(path)) return undefined;
  const tuning = read(path);
  const advice = `Tune again, give every method its rate (\`lrOf\`) after deleting ${relativePath(path)}, or choose another \`out\`.`;
  const changed = differences(tuning.settings as unknown as CompareSettings, settings, {
    lrOf: true,
    dense: true,
  });
  if (changed.length > 0) {
    throw new UsageError(
      `compare: the learning rates in ${relativePath(path)} were chosen with other settings: ${changed.join('; ')}. ${advice}`,
    );
  }
  if (allSeeds(settings).includes(tuning.seed)) {
    throw new UsageError(
      `compare: the seed ${tuning.seed} was used to choose the learning rates in ${relativePath(path)}, and is not to be compared too. ` +
        'Choose other seeds.',
    );
  }
  const wanted = methodsOf(settings).filter((method) => tuning.chosen[method] !== undefined);
  if (wanted.length === 0) return undefined;
  return Object.fromEntries(wanted.map((method) => [method, tuning.chosen[method] as number]));
}

const read = (path: string): z.infer<typeof fileSchema> =>
  readJson(
    path,
    (json) => fitting(fileSchema, json),
    (problem, cause) =>
      new RunFolderError(
        path,
        `compare: ${relativePath(path)} does not tell the learning rates of a tuning: ${problem}. Tune again, or delete the file.`,
        { cause },
      ),
  );
