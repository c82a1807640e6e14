// results.json of a comparison.
import { join } from 'node:path';
import { DataError } from 'mamba-prune';
import {
  amountText,
  dataLabel,
  fitting,
  modelLabel,
  reachedShares,
  readJson,
} from 'mamba-prune/internal';
import { z } from 'zod';
import type { ComparisonData } from '../page-data/comparison.js';
import { repeatCommand } from './facts.js';

const testSchema = z.object({
  methods: z.tuple([z.string(), z.string()]),
  rate: z.number(),
  pairs: z.number(),
  difference: z.number(),
  t: z.number().nullable(),
  p: z.number().nullable(),
  pHolm: z.number().nullable().default(null),
  interval: z.tuple([z.number(), z.number()]).nullable(),
  confidence: z.number(),
});

const resultsSchema = z.object({
  kind: z.literal('mamba-prune comparison results'),
  done: z.number(),
  planned: z.number(),
  methods: z.array(
    z.object({
      method: z.string(),
      rate: z.number(),
      seeds: z.array(z.number()),
      accuracy: z.number(),
      deviation: z.number().nullable(),
      beforeCut: z.number().nullable(),
      afterCut: z.number().nullable(),
      parameters: z.number(),
      macs: z.number(),
    }),
  ),
  runs: z.array(
    z.object({
      method: z.string(),
      rate: z.number(),
      seed: z.number(),
      run: z.string(),
      accuracy: z.number(),
      parameters: z.number(),
      macs: z.number(),
      shortOfRate: z.array(z.object({ kind: z.string(), reached: z.number() })).optional(),
    }),
  ),
  tests: z.array(testSchema),
  baselineTests: z.array(testSchema),
  scratchTests: z.array(testSchema).default([]),
  settings: z.object({
    train: z.object({
      arch: z.string(),
      model: z.looseObject({}).default({}),
      dataset: z.string(),
      data: z.string().optional(),
      recipe: z.object({ epochs: z.number() }),
    }),
    finetune: z.object({ epochs: z.number() }),
    rsst: z.object({ epochs: z.number() }),
    targets: z.array(z.string()),
    budget: z.enum(['macs', 'params', 'file']).optional(),
    amountsAt: z.array(z.object({ rate: z.number(), amount: z.number() })).default([]),
    seeds: z.array(z.number()),
    seedsAt: z.array(z.object({ seeds: z.array(z.number()) })).default([]),
    dense: z.array(z.unknown()).default([]),
    cut: z
      .object({
        rateOf: z.record(z.string(), z.number()).default({}),
        compensate: z.unknown().optional(),
      })
      .default({ rateOf: {} }),
  }),
});

const folderSchema = z.object({
  args: z.array(z.array(z.string())),
  /** Folders of older versions do not say it. */
  cwd: z.string().default(''),
});

/** @throws DataError if the results are not those of a comparison */
export function readComparison(path: string, id: string): ComparisonData {
  const { settings, tests, baselineTests, scratchTests, ...results } = readFile(
    join(path, 'results.json'),
    resultsSchema,
  );
  const { args, cwd } = readFile(join(path, 'compare.json'), folderSchema);
  const { train, finetune, rsst, targets, budget, amountsAt, seedsAt, dense, cut } = settings;
  const seeds = [...new Set([...settings.seeds, ...seedsAt.flatMap((at) => at.seeds)])];
  const placeOf = (rate: number): number =>
    results.methods.findIndex((result) => result.rate === rate);
  return {
    id,
    arch: modelLabel(train.arch, train.model),
    dataset: dataLabel(train),
    targets,
    budget,
    amountsAt: amountsAt.map(({ rate, amount }) => ({
      rate,
      amount: budget ? amountText(budget, amount) : String(amount),
    })),
    seeds,
    epochs: train.recipe.epochs,
    finetuneEpochs: finetune.epochs,
    regularizedEpochs: rsst.epochs,
    givenDense: dense.length,
    ownRates: cut.rateOf,
    isCompensated: cut.compensate !== undefined,
    repeat: repeatCommand(args.at(-1) ?? [], cwd),
    ...results,
    shortOfRates: reachedShares(results.runs),
    // What belongs to one rate stands together, as the methods do.
    tests: [...tests.map(turned), ...baselineTests, ...scratchTests].sort(
      (a, b) => placeOf(a.rate) - placeOf(b.rate),
    ),
  };
}

/** With the two methods the other way round: `compare` prints RSST minus Refill, and its results hold Refill minus RSST. */
function turned(test: z.infer<typeof testSchema>): z.infer<typeof testSchema> {
  const { methods, difference, interval, t } = test;
  return {
    ...test,
    methods: [methods[1], methods[0]],
    // Not `-0`, which would be shown so.
    difference: 0 - difference,
    interval: interval && [0 - interval[1], 0 - interval[0]],
    t: t === null ? null : 0 - t,
  };
}

const readFile = <T>(path: string, schema: z.ZodType<T>): T =>
  readJson(
    path,
    (json) => fitting(schema, json),
    (problem, cause) =>
      new DataError(
        `${path} is no file of a comparison: ${problem}. Give the command of the comparison again: it writes the file anew.`,
        { file: path, cause },
      ),
  );
