// importance/round-j.json: the scores that a cut went by, for reports. Nothing reads them to go on with
// a run. Two bytes a unit are more than any picture shows, and keep a round of mamba_small at 74 KB.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { fitting, readJson } from '../../files/json.js';
import { makeFolder } from '../../files/folder.js';
import { DataError } from '../../data/errors.js';
import { todaysMeasure, todaysSettings } from './earlier-names.js';
import { decodeUnits, encodeUnits } from './kept-units.js';

const levels = 65_535;

function isUnits(text: string): boolean {
  try {
    decodeUnits(text);
    return true;
  } catch {
    return false;
  }
}

const groupSchema = z.object({
  kind: z.string(),
  /** Units of the dense model that were left before the cut, which the scores belong to: `0-255`. */
  units: z.string().refine(isUnits, 'expected increasing units such as 0-3,7'),
  min: z.number(),
  max: z.number(),
  /** Little-endian uint16 in base64, one per unit: the place between `min` and `max`. */
  scores: z.base64(),
});

const fileSchema = z.object({
  kind: z.literal('mamba-prune scores'),
  format: z.literal(1),
  /** Counted from 1. */
  round: z.number(),
  /** What was measured: `l1 of consumer`, `group norm`. */
  measure: z.string(),
  ranking: z.string(),
  normalize: z.string(),
  groups: z.record(z.string(), groupSchema),
});

export type RoundScoresFile = z.infer<typeof fileSchema>;

/** The scores of one group before a cut. */
export interface GroupScores {
  readonly name: string;
  readonly kind: string;
  /** Units of the dense model, increasing. */
  readonly units: readonly number[];
  /** One per unit; larger is better. */
  readonly scores: ArrayLike<number>;
}

export interface RoundScores extends Pick<
  RoundScoresFile,
  'round' | 'measure' | 'ranking' | 'normalize'
> {
  readonly groups: readonly GroupScores[];
}

/** Where a run keeps the scores of a round. */
export const scoresPath = (run: string, round: number): string =>
  join(run, 'importance', `round-${round}.json`);

/** Writes the scores of a round into a run's folder. */
export function writeRoundScores(run: string, { groups, ...rest }: RoundScores): void {
  const path = scoresPath(run, rest.round);
  makeFolder(dirname(path));
  const file: RoundScoresFile = {
    kind: 'mamba-prune scores',
    format: 1,
    ...rest,
    groups: Object.fromEntries(
      groups.map(({ name, kind, units, scores }) => [
        name,
        { kind, units: encodeUnits(units), ...packScores(scores) },
      ]),
    ),
  };
  writeFileAtomic(path, `${JSON.stringify(fileSchema.parse(file), null, 1)}\n`);
}

/**
 * The scores of a round as they stand in the file.
 * @returns undefined if there are none, as in runs from before they were recorded
 * @throws DataError if the file is damaged
 */
export function readRoundScores(run: string, round: number): RoundScoresFile | undefined {
  const path = scoresPath(run, round);
  if (!existsSync(path)) return undefined;
  return readJson(
    path,
    (json) => todaysScores(fitting(fileSchema, json)),
    (problem, cause) =>
      new DataError(
        `${path} holds no scores of units: ${problem}. Delete it; the run does not need it.`,
        { file: path, cause },
      ),
  );
}

const todaysScores = (file: RoundScoresFile): RoundScoresFile => ({
  ...todaysSettings(file),
  measure: todaysMeasure(file.measure),
});

/** The units and scores of one group of a file. */
export function unpackScores({ units, min, max, scores }: RoundScoresFile['groups'][string]): {
  readonly units: number[];
  readonly scores: Float64Array;
} {
  const bytes = Buffer.from(scores, 'base64');
  return {
    units: decodeUnits(units),
    scores: Float64Array.from(
      { length: bytes.length >> 1 },
      (_, i) => min + (bytes.readUInt16LE(2 * i) / levels) * (max - min),
    ),
  };
}

function packScores(scores: ArrayLike<number>): { min: number; max: number; scores: string } {
  const values = Array.from(scores);
  const min = values.reduce((a, b) => Math.min(a, b), Infinity);
  const max = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => {
    bytes.writeUInt16LE(max > min ? Math.round(((value - min) / (max - min)) * levels) : 0, 2 * i);
  });
  return { min, max, scores: bytes.toString('base64') };
}
