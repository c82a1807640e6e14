// What a pruning adds to a model's history: an entry for the cut, and one for the training after it. No times are in them, so that
// equal runs give equal files. A budget of bytes counts the same entries before their content is known (`cost-budget.ts`).
import type { SavedModelInfo } from '../../training/hooks.js';
import type { CompensationRecord } from './compensation-record.js';
import type { ResolvedPruneSettings } from './settings.js';

/** What a cut came to. */
export interface CutFacts {
  /** Counted from 1. */
  readonly round: number;
  readonly rates: Readonly<Record<string, number>>;
  readonly widthsBefore: Readonly<Record<string, number>>;
  readonly widthsAfter: Readonly<Record<string, number>>;
  /** Units of the dense model that are left, as `encodeKept` writes them. */
  readonly kept: Readonly<Record<string, string>>;
  /** Where the cut was compensated. */
  readonly compensation: CompensationFacts | undefined;
}

/** What was done to the model; pruning.json tells of every group. */
export interface CompensationFacts extends Omit<CompensationRecord, 'groups'> {
  /** How many groups were changed. */
  readonly corrected: number;
}

export function compensationFacts({ groups, ...all }: CompensationRecord): CompensationFacts {
  return { ...all, corrected: Object.values(groups).filter(({ damping }) => damping > 0).length };
}

export function cutStep(settings: ResolvedPruneSettings, cut: CutFacts): Record<string, unknown> {
  const { method, importance, score, ranking, normalize, roundTo, maxRate } = settings;
  const { rounds, rewind, refill, rsst, rateOf, minWidth, costBudget, rankBy, compensate } =
    settings;
  const { round, rates, widthsBefore, widthsAfter, kept, compensation } = cut;
  return {
    step: 'prune',
    method,
    round,
    rounds,
    rates,
    importance,
    score,
    ranking,
    normalize,
    roundTo,
    maxRate,
    ...(rateOf && { rateOf }),
    ...(minWidth !== undefined && { minWidth }),
    ...(costBudget && { costBudget }),
    ...(rankBy && { rankBy }),
    rewind,
    ...(refill && { refill }),
    ...(rsst && { rsst }),
    ...(compensate && { compensate, compensation }),
    widthsBefore,
    widthsAfter,
    kept,
  };
}

/** The training after a cut. */
interface FinetuneFacts {
  /** Counted from 1. */
  readonly round: number;
  readonly dataset: string | undefined;
  readonly epoch: number;
  readonly weights: SavedModelInfo['weights'];
  readonly accuracy: number | null;
}

export function finetuneStep(facts: FinetuneFacts): Record<string, unknown> {
  const { round, dataset, epoch, weights, accuracy } = facts;
  return { step: 'finetune', round, dataset, epoch, weights, accuracy };
}
