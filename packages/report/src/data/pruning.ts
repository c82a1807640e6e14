// What pruning.json and importance/ say, as the page draws it.
import {
  type PruningRecord,
  type RoundRecord,
  type RoundScoresFile,
  readRoundScores,
} from 'mamba-prune/workflows';
import { bytes, count, milliseconds } from 'mamba-prune/format';
import { decodeUnits } from 'mamba-prune/internal';
import type { GroupData, PruningData, RoundData, ScoresData } from '../page-data/pruning.js';

/** @param path - of the run; @throws DataError if the scores of a round are damaged */
export function pruningData(path: string, record: PruningRecord): PruningData {
  const { reached, plannedRounds, rounds, costBudget } = record;
  // A budget decides the rates anew in each round.
  const rates = (costBudget && rounds.at(-1)?.rates) ?? record.rates;
  const scores = rounds.map(({ round }) => readRoundScores(path, round));
  return {
    rates,
    ...(costBudget && { budget: costBudget.map(inWords) }),
    ...(rounds.length === plannedRounds && { reached }),
    plannedRounds,
    groups: Object.keys(record.widthsBefore).map((name) => groupData(name, record, scores[0])),
    rounds: rounds.map((round, i) => roundData(round, scores[i])),
  };
}

type BudgetEntry = NonNullable<PruningRecord['costBudget']>[number];

/** `MACs 0.3x`, `file 4.77 MiB` */
function inWords({ of, asked, limit }: BudgetEntry): string {
  const [name, show] = budgetWords[of];
  return `${name} ${typeof asked === 'string' ? asked : show(limit)}`;
}

const budgetWords = {
  macs: ['MACs', count],
  params: ['parameters', count],
  file: ['file', (value: number) => bytes(Math.round(value))],
  latency: ['latency', milliseconds],
} as const;

function groupData(
  name: string,
  record: PruningRecord,
  first: RoundScoresFile | undefined,
): GroupData {
  const { kinds, denseWidths, widthsBefore, rounds } = record;
  const before = widthsBefore[name] ?? 0;
  const dense = denseWidths[name] ?? before;
  const scored = first?.groups[name]?.units;
  const units = scored === undefined ? undefined : decodeUnits(scored);
  // A source that was cut itself and has no scores: what the first round kept is all that is known.
  const there = units ?? (before === dense ? [...Array(dense).keys()] : rounds[0]?.kept[name]);
  return {
    name,
    kind: kinds[name] ?? '',
    dense,
    before,
    fate: fateOf(name, dense, there ?? [], rounds),
  };
}

/** See `GroupData.fate`. @param there - units of the dense model before the first round */
function fateOf(
  name: string,
  dense: number,
  there: readonly number[],
  rounds: readonly RoundRecord[],
): string | undefined {
  if (rounds.every(({ kept }) => kept[name] === undefined)) return undefined;
  const fates = Array.from<string>({ length: dense }).fill('-');
  for (const unit of there) if (unit < dense) fates[unit] = '0';
  for (const { round, kept } of rounds) {
    const units = kept[name];
    if (!units) continue;
    const left = new Set(units);
    fates.forEach((fate, unit) => {
      if (fate === '0' && !left.has(unit)) fates[unit] = String.fromCharCode(48 + round);
    });
  }
  return fates.join('');
}

function roundData(record: RoundRecord, file: RoundScoresFile | undefined): RoundData {
  const { round, rates, widths, returned = {}, parameters, macs, accuracy, finished } = record;
  return {
    round,
    rates,
    widths,
    returned,
    parameters,
    macs,
    accuracy,
    finished,
    scores: file && scoresData(record, file),
  };
}

function scoresData({ kept, returned }: RoundRecord, file: RoundScoresFile): ScoresData {
  const { measure, ranking, normalize, groups } = file;
  return {
    measure,
    ranking,
    normalize,
    groups: Object.entries(groups).map(([name, { kind, units, min, max, scores }]) => {
      const back = new Set(returned?.[name]);
      const stays = new Set(kept[name]);
      const fate = (unit: number): string => (back.has(unit) ? 'r' : stays.has(unit) ? 'k' : 'x');
      return { name, kind, min, max, scores, fates: decodeUnits(units).map(fate).join('') };
    }),
  };
}
