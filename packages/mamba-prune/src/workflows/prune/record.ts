// pruning.json: what a pruning run cut, round by round, and what it cost. It is written before
// anything relies on it, so a resumed run knows from it where it stopped.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { fitting, readJson } from '../../files/json.js';
import { DataError } from '../../data/errors.js';
import { compensationRecord } from './compensation-record.js';
import { doomedLeftRecord } from './doomed-norms.js';
import { decodeUnits, encodeUnits, maxUnits } from './kept-units.js';
import { defaultScore } from '../../pruning/importances.js';
import { todaysSettings } from './earlier-names.js';
import { importanceReasons } from './importance-choice.js';
import { budgetKeys } from './cost-budget-settings.js';
import { latencyTableSchema } from './latency-record.js';
import { rateLimits } from './reached-rates.js';

const numbers = z.record(z.string(), z.number());
/** Units per group. */
const widths = z.record(z.string(), z.int().min(0).max(maxUnits));
/** Far more than anybody prunes in; what reads a record makes something for each. */
const maxRounds = 10_000;
const beforeAfter = z.object({ before: z.number(), after: z.number() });
const measured = z.number().nullable();
const accuracy = z.object({ before: measured, afterCut: measured, after: measured });

/** Per group; in the file as `0-3,7,9-12`. */
const units = z.record(
  z.string(),
  z.codec(z.string(), z.array(z.number()), {
    decode: (text, context) => {
      try {
        return decodeUnits(text);
      } catch (error) {
        context.issues.push({ code: 'custom', input: text, message: (error as Error).message });
        return z.NEVER;
      }
    },
    encode: encodeUnits,
  }),
);

const roundSchema = z.object({
  /** Counted from 1. */
  round: z.number(),
  /** Share of the run's first units that is gone after the round, per kind. */
  rates: numbers,
  /** Width of every group after the cut. */
  widths,
  /** Units of the dense model that are left, per group that was ever cut. */
  kept: units,
  /** Of those, the ones that refill gave back in this round. */
  returned: units.optional(),
  /** Share of the run's first units that is really gone after the round, per kind. */
  reached: numbers.optional(),
  /** Epochs of the training that were done at the cut, where settings leave that open (`cutAtZero`, `cuts`). */
  cutAfterEpoch: z.int().min(1).optional(),
  parameters: z.number(),
  macs: z.number(),
  /** Just before the cut and right after it: the difference is what it cost; after the training. */
  accuracy,
  /** Where the cut was compensated. */
  compensation: compensationRecord.optional(),
  /** Where RSST drove chosen units towards zero: how much of them the cut still found. */
  doomedLeft: doomedLeftRecord.optional(),
  /** Trained on, if it was to be, and saved. */
  finished: z.boolean(),
});

/** What kept more units of a kind than its rate asks for. */
const heldBack = z.object({
  kind: z.string(),
  limit: z.enum(rateLimits),
  /** Where it did so; empty where the ranking of all groups together does not tell. */
  groups: z.array(z.string()),
  /** Under `minimum`: units that each of them keeps; one if absent. */
  fewest: z.int().min(2).optional(),
});

const recordSchema = z.object({
  kind: z.literal('mamba-prune pruning'),
  format: z.literal(2),
  method: z.string(),
  /** File that was pruned. */
  source: z.string(),
  /** Shares that are asked for, per kind. */
  rates: numbers,
  /** Shares that are gone so far, per kind; not in older records, as the next two. */
  reached: numbers.optional(),
  /** Why less is gone than the last round asked for; empty if nothing held it back. */
  heldBack: z.array(heldBack).optional(),
  /** Kinds that a cut of everything would reach, and that this one was not to. */
  leftAlone: z.array(z.string()).optional(),
  importance: z.string(),
  /** Why that one; not in records from before there was a choice. */
  importanceReason: z.enum(importanceReasons).optional(),
  score: z.string(),
  ranking: z.string(),
  normalize: z.string(),
  roundTo: z.number(),
  maxRate: z.number(),
  /** Shares that single groups were to lose, by name; none if absent. */
  rateOf: numbers.optional(),
  /** The least that every group keeps: a count, or a share such as `10%`; one unit if absent. */
  minWidth: z.union([z.number(), z.templateLiteral([z.number(), '%'])]).optional(),
  perRound: z.boolean(),
  rewind: z.string(),
  /** Rounds that are asked for. */
  plannedRounds: z.int().min(0).max(maxRounds),
  /** Kind of every group. */
  kinds: z.record(z.string(), z.string()),
  /** Before any cut ever. */
  denseWidths: widths,
  widthsBefore: widths,
  /** After the last round so far, as the next three. */
  widthsAfter: widths,
  /** Units of the dense model that are left, per group that was ever cut. */
  kept: units,
  /** The same as units of the file that was pruned, per group that this run cut. */
  keptInSource: units,
  parameters: beforeAfter,
  macs: beforeAfter,
  /** Of the file that was pruned; after the last cut so far, and after its training. */
  accuracy,
  /** What the accuracies before and after a cut are measured on: so many `of` the test images. */
  measuredOn: z
    .object({ dataset: z.string(), images: z.int().min(0), of: z.int().min(0) })
    .optional(),
  /** Every cut so far. */
  rounds: z.array(roundSchema),
  /** What the pruned model may cost at most, and what has been reached; none where rates were asked for. */
  costBudget: z
    .array(
      z.object({
        of: z.enum(budgetKeys),
        /** As it was told: a number, or a share such as `0.3x`. */
        asked: z.union([z.number(), z.templateLiteral([z.number(), 'x'])]),
        /** MACs, parameters, bytes or milliseconds, as the next two. */
        limit: z.number(),
        /** Of the model that the run began with. */
        before: z.number(),
        /** After the last cut so far; of a latency what the table says. */
        reached: z.number(),
        /** Of a latency: what the model with these widths took, and the spread of these times as a share. */
        measured: z.number().optional(),
        spread: z.number().optional(),
      }),
    )
    .optional(),
  /** By what a unit was ranked, where it is not the score alone. */
  rankBy: z.string().optional(),
  /** What a budget of latency is counted with. */
  latencyTable: latencyTableSchema.optional(),
  /** Units, as the model has them now, that the round in progress wants to keep: the others are doomed. */
  wanted: z
    .object({
      round: z.number(),
      kept: units,
      /** Sum of the norms of the doomed units at the round's first choice, by kind; not in older records. */
      norms: numbers.optional(),
      /** Regularised epochs that were done when they were chosen, and the choices before; where it is done anew. */
      epoch: z.number().optional(),
      earlier: z.array(z.object({ epoch: z.number(), kept: units })).optional(),
    })
    .optional(),
});

/** Before there were rounds. */
const firstFormat = z.object({
  ...recordSchema.omit({
    perRound: true,
    rewind: true,
    plannedRounds: true,
    rounds: true,
    kinds: true,
    wanted: true,
    reached: true,
    heldBack: true,
    leftAlone: true,
    importanceReason: true,
    rateOf: true,
    costBudget: true,
    rankBy: true,
    latencyTable: true,
    minWidth: true,
    measuredOn: true,
  }).shape,
  format: z.literal(1),
  score: z.string().default(defaultScore),
  kept: z.record(z.string(), z.array(z.number())),
  keptInSource: z.record(z.string(), z.array(z.number())),
});

export type PruningRecord = z.output<typeof recordSchema>;
export type RoundRecord = PruningRecord['rounds'][number];

const pruningFile = (run: string): string => join(run, 'pruning.json');

/** As it stands in the file, with units as text. */
export function encodeRecord(record: PruningRecord): z.input<typeof recordSchema> {
  // Through the schema, so that the order of the keys is always the same.
  return z.encode(recordSchema, record);
}

export function writePruningRecord(run: string, record: PruningRecord): void {
  writeFileAtomic(pruningFile(run), `${JSON.stringify(encodeRecord(record), null, 1)}\n`);
}

/** Whether all rounds are over: under several cuts in one training each is a round. */
export const isDone = (record: PruningRecord | undefined): record is PruningRecord =>
  record !== undefined &&
  record.rounds.length === record.plannedRounds &&
  record.rounds.at(-1)?.finished === true;

/**
 * Records of the first format, which had one cut, are read as a run of one round.
 * @returns undefined if there is none
 * @throws DataError if it is damaged, naming the models that are left
 */
export function readPruningRecord(run: string): PruningRecord | undefined {
  const path = pruningFile(run);
  if (!existsSync(path)) return undefined;
  const parse = (json: unknown): PruningRecord => {
    const first = firstFormat.safeParse(json);
    if (first.success) return todaysSettings(fromFirstFormat(run, first.data));
    const record = fitting(recordSchema, json);
    const wrong = contradiction(record);
    if (wrong !== undefined) throw new Error(wrong);
    return todaysSettings(record);
  };
  return readJson(
    path,
    parse,
    (problem, cause) =>
      new DataError(
        `${path} is no record of a pruning: ${problem}. ${whatIsLeft(run)} Start a new run.`,
        { file: path, cause },
      ),
  );
}

/** What does not fit together in a record that has the right form. */
function contradiction(record: PruningRecord): string | undefined {
  const { rounds, kept, denseWidths, widthsAfter } = record;
  const units = Object.values(denseWidths).reduce((sum, width) => sum + width, 0);
  if (units > maxUnits) return `got ${units} units in all groups, expected at most ${maxUnits}`;
  const misnumbered = rounds.findIndex(({ round }, i) => round !== i + 1);
  if (misnumbered >= 0) {
    return `got round ${rounds[misnumbered]?.round ?? NaN} as entry ${misnumbered + 1} of the rounds`;
  }
  for (const entry of [...rounds, { round: rounds.length, kept, widths: widthsAfter }]) {
    for (const [group, list] of Object.entries(entry.kept)) {
      const width = entry.widths[group];
      const increasing = list.every((unit, i) => unit > (list[i - 1] ?? -1));
      if (width === list.length && increasing) continue;
      return (
        `round ${entry.round} keeps ${list.length} units of '${group}'` +
        (increasing ? `, but its width is ${width ?? 'missing'}` : ' that do not increase')
      );
    }
  }
  return undefined;
}

/** Work that a damaged record has not taken along. */
function whatIsLeft(run: string): string {
  const folder = join(run, 'checkpoints');
  const models = existsSync(folder)
    ? readdirSync(folder).filter((name) => /^round-\d+\.safetensors$/.test(name))
    : [];
  return models.length === 0
    ? ''
    : `The models of its rounds are whole and can be pruned on: ${models.map((name) => join(folder, name)).join(', ')}.`;
}

function fromFirstFormat(run: string, record: z.output<typeof firstFormat>): PruningRecord {
  const { rates, widthsAfter: widths, kept, accuracy: values } = record;
  const round: RoundRecord = {
    round: 1,
    rates,
    widths,
    kept,
    parameters: record.parameters.after,
    macs: record.macs.after,
    accuracy: values,
    finished: existsSync(join(run, 'model.safetensors')),
  };
  return {
    ...record,
    format: 2,
    perRound: false,
    rewind: 'none',
    plannedRounds: 1,
    // There were SSMs and MLPs only, and groups were named after their kind.
    kinds: Object.fromEntries(
      Object.keys(widths).map((name) => [name, name.slice(name.lastIndexOf('.') + 1)]),
    ),
    rounds: [round],
  };
}
