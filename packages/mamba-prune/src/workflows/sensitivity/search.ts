// The search for rates: what a candidate is, how it is measured, and what every search begins from.
import type { WidthCost } from '../../pruning/budget/targets.js';
import type { Widths } from '../../models/width-costs.js';
import { checksOf } from '../../checks.js';
import type { ImageModel } from '../../models/image-model.js';
import { requirePrunable } from '../../models/require-model.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { type CostLimit, ratesOfWidths } from '../../pruning/sensitivity/allocate.js';
import { costMetrics } from '../../pruning/sensitivity/curve.js';
import {
  type CutModel,
  type Evaluate,
  type MeasuredModel,
  type Sensitivity,
  measured,
} from '../../pruning/sensitivity/measure.js';
import { unitsForWidths } from '../../pruning/sensitivity/parts.js';
import { pruneModel } from '../../pruning/surgery.js';
import { evolutionary, evolutionaryModels } from './evolutionary.js';
import {
  type SearchCandidate,
  type SearchEvaluation,
  type SearchMethod,
  type SearchRecord,
  searchMethods,
} from './file.js';
import { greedy } from './greedy.js';
import { TimeOver, widthsKey, widthsOfKey } from './problem.js';
import { checkSameGroups } from './same-groups.js';
import { costOfModel, startsOf } from './starts.js';

export interface SearchRatesOptions {
  readonly method: SearchMethod;
  readonly budget: CostLimit;
  /** Complete; of the same model. */
  readonly sensitivity: Sensitivity;
  /** Of every unit of the measured groups, by group name: the best ones of a group stay. */
  readonly scores: ReadonlyMap<string, Float64Array>;
  readonly evaluate: Evaluate;
  /** Default `pruneModel`. */
  readonly cut?: CutModel | undefined;
  /** What a model of such widths costs. By default counted on a model that is made for it. */
  readonly costOf?: WidthCost | undefined;
  /** Largest share that a group may lose. By default the largest rate that was measured. */
  readonly maxRate?: number | undefined;
  /** Of the evolutionary search. Default `0`. */
  readonly seed?: number | undefined;
  /** What an earlier call recorded: models that it measured are not measured again. */
  readonly known?: SearchRecord | undefined;
  /** Asked before each model: true ends the search with the best that there is. */
  readonly isOver?: (() => boolean) | undefined;
  /** After each model that was measured, with all that is known by then and the share of the search that is done, about. */
  readonly onEvaluation?: ((record: SearchRecord, share: number) => void) | undefined;
}

const searchKinds: OptionKinds<SearchRatesOptions> = {
  method: 'string',
  budget: 'object',
  sensitivity: 'object',
  scores: 'object',
  evaluate: 'function',
  cut: 'function',
  costOf: 'function',
  maxRate: 'number',
  seed: 'number',
  known: 'object',
  isOver: 'function',
  onEvaluation: 'function',
};

/**
 * Looks for the rates of least loss right after the cut, under a budget. Both searches begin with the rates of a uniform cut, of
 * the global ranking and of the measured sensitivity, and the result is the best model that was measured, these among them.
 * Equal inputs give equal results: a search that was stopped goes through its steps again with what it `known`s, and on from there.
 * @throws UsageError for options out of range, a budget that cannot be reached, and what `evaluate` and `cut` throw
 */
export async function searchRates(
  model: ImageModel,
  options: SearchRatesOptions,
): Promise<SearchRecord> {
  const where = 'searchRates';
  requirePrunable(where, model);
  const needed = ['method', 'budget', 'sensitivity', 'scores', 'evaluate'] as const;
  requireOptions(where, options, searchKinds, needed);
  checkSameGroups(where, model, options.sensitivity);
  const { method, budget, sensitivity, scores, evaluate, known, isOver, onEvaluation } = options;
  const { oneOf, number, integer } = checksOf(where);
  oneOf('method', method, searchMethods);
  oneOf('budget: metric', budget.metric, costMetrics);
  number('budget: most', budget.most, { above: 0 });
  const largest = Math.max(...sensitivity.rates);
  const maxRate = number('maxRate', options.maxRate ?? largest, { above: 0, below: 1 });
  const seed = integer('seed', options.seed ?? 0, { min: 0 });
  const { cut = pruneModel, costOf = costOfModel(model, sensitivity, budget) } = options;

  const before = new Map(known?.evaluations.map((entry) => [entry.widths, entry]));
  const evaluations = new Map<string, SearchEvaluation>();
  const named: SearchCandidate[] = [];
  const record = (finished: boolean): SearchRecord => {
    const meeting = [...evaluations.values()].filter((found) => meetsBudget(found, budget));
    return {
      method,
      budget,
      maxRate,
      finished,
      best: bestOf(named, meeting, method, sensitivity),
      candidates: [...named],
      evaluations: [...evaluations.values()],
    };
  };
  const measureNow = async (widths: Widths): Promise<MeasuredModel> => {
    const copy = await cut(model, unitsForWidths(scores, widths));
    try {
      return await measured(model, copy, evaluate);
    } finally {
      copy.dispose();
    }
  };
  const measure = async (widths: Widths): Promise<MeasuredModel> => {
    const key = widthsKey(sensitivity, widths);
    const done = evaluations.get(key);
    if (done) return done;
    const earlier = before.get(key);
    if (!earlier && isOver?.() === true) throw new TimeOver();
    const found = earlier ?? { widths: key, ...(await measureNow(widths)) };
    evaluations.set(key, found);
    if (!earlier) onEvaluation?.(record(false), shareDone(options, found, evaluations.size));
    return found;
  };
  const starts = startsOf(model, { sensitivity, scores, budget, maxRate, costOf });
  const problem = { sensitivity, budget, maxRate, seed, starts, costOf, measure };
  const candidateOf = (name: string, widths: Widths, found: MeasuredModel): SearchCandidate => ({
    name,
    rates: ratesOfWidths(sensitivity.parts, widths),
    ...figures(found),
  });
  try {
    for (const { name, widths } of starts) {
      const found = await measure(widths);
      named.push(candidateOf(name, widths, found));
    }
    const widths = await (method === 'greedy' ? greedy(problem) : evolutionary(problem));
    named.push(candidateOf(method, widths, await measure(widths)));
    return record(true);
  } catch (error) {
    if (!(error instanceof TimeOver)) throw error;
    const ended = record(false);
    if (!error.widths) return ended;
    // Beside the record: a search that goes on must not find what it would not have measured.
    const last = candidateOf(method, error.widths, await measureNow(error.widths));
    return ended.best && ended.best.loss <= last.loss ? ended : { ...ended, best: last };
  }
}

/** Of the greedy search by what is cut so far, of the other by its candidates. */
function shareDone(
  { method, budget, sensitivity }: SearchRatesOptions,
  found: MeasuredModel,
  measuredModels: number,
): number {
  if (method === 'evolutionary') return Math.min(1, measuredModels / evolutionaryModels);
  const { metric, most } = budget;
  const metricShown = metric === 'units' ? 'parameters' : metric;
  const whole = sensitivity.dense[metricShown];
  const left = metric === 'units' ? 0 : most;
  return Math.min(1, Math.max(0, (whole - found[metricShown]) / (whole - left)));
}

function figures({ loss, accuracy, parameters, macs }: MeasuredModel): MeasuredModel {
  return { loss, accuracy, parameters, macs };
}

function meetsBudget(found: SearchEvaluation, { metric, most }: CostLimit): boolean {
  if (metric !== 'units') return found[metric] <= most;
  const units = found.widths.split(',').reduce((total, width) => total + Number(width), 0);
  return units <= most;
}

/** The model of least loss, under the name that it has; the first of equal ones. */
function bestOf(
  named: readonly SearchCandidate[],
  evaluations: readonly SearchEvaluation[],
  method: SearchMethod,
  sensitivity: Sensitivity,
): SearchCandidate | undefined {
  let best: SearchEvaluation | undefined;
  for (const found of evaluations) if (!(best && best.loss <= found.loss)) best = found;
  if (!best) return undefined;
  const names = sensitivity.parts.flatMap(({ groups }) => Object.keys(groups));
  const widths = widthsOfKey(sensitivity, best.widths);
  const rates = ratesOfWidths(sensitivity.parts, widths);
  const same = named.find((candidate) =>
    names.every((name) => candidate.rates[name] === rates[name]),
  );
  return { name: same?.name ?? method, rates, ...figures(best) };
}
