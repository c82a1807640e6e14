// From sensitivity.json to the rates of a pruning: what a search found, or what the measured curves say under a budget.
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { inspectModel } from '../../models/inspect.js';
import type { Widths } from '../../models/width-costs.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { MinWidth } from '../../pruning/group-limits.js';
import { keptCount } from '../../pruning/selection.js';
import { ratesFromSensitivity, ratesOfWidths } from '../../pruning/sensitivity/allocate.js';
import { predictedLoss } from '../../pruning/sensitivity/curve.js';
import type { PartSensitivity, Sensitivity } from '../../pruning/sensitivity/measure.js';
import { withFewest, widthsAt } from '../../pruning/sensitivity/parts.js';
import { sum } from '../../statistics.js';
import type { SensitivityFile } from './file.js';
import { sensitivityOf } from './run.js';
import { checkAllGroups, checkSameGroups } from './same-groups.js';
import { type CostTarget, limitOfTarget } from './settings.js';
import { costOfModel } from './starts.js';

/** What a pruning asks of a file. */
export interface AskedRates {
  /** Share to remove of each kind, without a target; with one, or for the rates of a search, the kinds that are cut. */
  readonly rates: Readonly<Record<string, number>>;
  /** In place of the rates. */
  readonly target?: CostTarget | undefined;
  /** Whether any rate or target was said: else the rates of the file's search are taken, if there was one. */
  readonly isSaid: boolean;
  readonly roundTo?: number | undefined;
  readonly maxRate?: number | undefined;
  /** The least units that every group keeps. Default `1`. */
  readonly minWidth?: MinWidth | undefined;
  /** Rates that single groups were given: the others share what is asked. */
  readonly rateOf?: Readonly<Record<string, number>> | undefined;
}

const askedKinds: OptionKinds<AskedRates> = {
  rates: 'object',
  target: 'object',
  isSaid: 'boolean',
  roundTo: 'number',
  maxRate: 'number',
  minWidth: ['number', 'string'],
  rateOf: 'object',
};

/** Rates for `PruneSettings`. */
export interface RatesFrom {
  /** Share that goes, per kind. */
  readonly rates: Readonly<Record<string, number>>;
  /** Share that goes, per group. */
  readonly rateOf: Readonly<Record<string, number>>;
  /** Where they come from, in words: `the greedy search`, `the measured sensitivity`. */
  readonly origin: string;
  /** Loss of the cut model before any training, as it was measured or is predicted. */
  readonly loss: number;
}

/**
 * Under a target all kinds share one budget; under rates each kind loses just its own share, and its groups share that. Either way the sum
 * of the measured increases of the loss is least.
 * @param where - names the file in errors
 * @throws UsageError for a file of another model, one that is not finished, kinds that it did not measure, or a budget
 *   beyond the rates that it did
 */
export function ratesFrom(
  where: string,
  file: SensitivityFile,
  model: ImageModel,
  asked: AskedRates,
): RatesFrom {
  requireOptions('ratesFrom', asked, askedKinds, ['rates', 'isSaid']);
  const measured = sensitivityOf(file);
  checkSameGroups(where, model, measured);
  // Which earlier files do not tell.
  const parts = withFewest(measured.parts, model.pruningGroups());
  // A share is one of the model that is pruned, which may be another than the one that was measured.
  const { parameters, macs } = inspectModel(model);
  const whole = { ...measured, parts, dense: { ...measured.dense, parameters, macs } };
  if (!file.finished) {
    throw new UsageError(
      `${where}: is not finished, expected every part at every rate. Go on with: mamba-prune sensitivity --resume --out ${where}`,
    );
  }
  checkAllGroups(where, model, measured, file.kinds);
  const best = asked.isSaid ? undefined : file.search?.best;
  if (best) {
    checkLargest(where, best.rates, asked.maxRate);
    return {
      rates: shareByKind(model, widthsOf(whole.parts, best.rates), file.kinds),
      rateOf: best.rates,
      origin: `the ${file.search?.method ?? ''} search`,
      loss: best.loss,
    };
  }
  const kinds = Object.keys(asked.rates);
  const missing = kinds.find((kind) => !file.kinds.includes(kind) && asked.rates[kind] !== 0);
  if (missing !== undefined) {
    throw new UsageError(
      `${where}: holds no measurement of the kind ${missing}, only of ${file.kinds.join(', ')}. Leave ${missing} out, or ` +
        `measure it: mamba-prune sensitivity MODEL --target ${[...file.kinds, missing].join(',')}`,
    );
  }
  const { rateOf: given = {} } = asked;
  const chosen = partsThatShare(where, whole, kinds, given);
  const widths = asked.target
    ? underTarget(where, chosen, model, asked, asked.target)
    : underRates(where, chosen, asked);
  return {
    rates: shareByKind(model, { ...widthsOf(whole.parts, given), ...widths }, kinds),
    rateOf: { ...ratesOfWidths(chosen.parts, widths), ...given },
    origin: 'the measured sensitivity',
    loss: predictedLoss(chosen, widths),
  };
}

/** @throws UsageError if a search took more of a group than it may lose */
function checkLargest(where: string, rates: Readonly<Record<string, number>>, maxRate = 1): void {
  // Rates are shares of whole units: the last bits are none.
  const over = Object.entries(rates).find(([, rate]) => rate > maxRate + 1e-9);
  if (!over) return;
  throw new UsageError(
    `${where}: got \`maxRate\` ${maxRate}, but its search takes ${Number(over[1].toPrecision(3))} of ${over[0]}. Search again ` +
      'with a lower rate (`sensitivity.maxRate`), give a rate or a budget to take the measured curves, or leave `maxRate` out.',
  );
}

/** All kinds share one budget. */
function underTarget(
  where: string,
  chosen: Sensitivity,
  model: ImageModel,
  { roundTo, maxRate, minWidth, rateOf = {} }: AskedRates,
  target: CostTarget,
): Widths {
  const limit = limitOfTarget(target, chosen);
  const costOf = costOfModel(model, chosen, limit);
  const groups = new Map(model.pruningGroups().map((group) => [group.name, group]));
  const fixed = Object.fromEntries(
    Object.entries(rateOf).map(([name, rate]) => {
      const { size = 1, fewest } = groups.get(name) ?? {};
      return [name, keptCount(size, rate, roundTo, fewest)];
    }),
  );
  const options = { ...limit, roundTo, maxRate, minWidth, where };
  return ratesFromSensitivity(chosen, {
    ...options,
    costOf: (widths) => costOf({ ...fixed, ...widths }),
  }).widths;
}

/** Each kind loses its own share of its units; kinds that are cut together lose theirs together. */
function underRates(
  where: string,
  chosen: Sensitivity,
  { rates, roundTo, maxRate, minWidth }: AskedRates,
): Widths {
  const widths: Record<string, number> = {};
  for (const together of partsByRate(where, chosen.parts, rates)) {
    const sizes = together.parts.flatMap(({ groups }) => Object.values(groups));
    const whole = Math.round((1 - together.rate) * sum(sizes));
    // What one rate for all leaves, rounded group by group, is as good.
    const alike = together.parts.flatMap((part) =>
      Object.values(widthsAt(part, together.rate, roundTo)),
    );
    const most = Math.max(whole, sum(alike));
    const own = { ...chosen, parts: together.parts };
    Object.assign(
      widths,
      ratesFromSensitivity(own, { metric: 'units', most, roundTo, maxRate, minWidth, where })
        .widths,
    );
  }
  return widths;
}

/** Parts whose kinds have one rate each; those of several kinds are taken together. */
function partsByRate(
  where: string,
  parts: readonly PartSensitivity[],
  rates: AskedRates['rates'],
): { readonly rate: number; readonly parts: PartSensitivity[] }[] {
  const pools = new Map<string, { rate: number; parts: PartSensitivity[] }>();
  for (const part of parts) {
    const own = [...new Set(part.kinds.map((kind) => rates[kind] ?? 0))];
    const [rate = 0] = own;
    if (own.length > 1) {
      throw new UsageError(
        `${where}: measured ${part.kinds.join(' and ')} together (by block), so that they cannot have different rates. ` +
          'Give them one, or measure each group (`sensitivity.by` group).',
      );
    }
    const key = part.kinds.join();
    const pool = pools.get(key);
    if (pool) pool.parts.push(part);
    else pools.set(key, { rate, parts: [part] });
  }
  return [...pools.values()];
}

/** @throws UsageError if a part has groups of kinds that are cut and of others, or that have a rate of their own and others */
function partsThatShare(
  where: string,
  whole: Sensitivity,
  kinds: readonly string[],
  given: Readonly<Record<string, number>>,
): Sensitivity {
  const parts = whole.parts.filter(({ name, kinds: own, groups }) => {
    const isCut = own.some((kind) => kinds.includes(kind));
    const isGiven = Object.keys(groups).some((group) => group in given);
    const isAll =
      own.every((kind) => kinds.includes(kind)) &&
      Object.keys(groups).every((group) => group in given === isGiven);
    if (isCut && !isAll) {
      throw new UsageError(
        `${where}: measured ${Object.keys(groups).join(', ')} together as ${name}, but only some of them are to be cut by ` +
          'it. Measure each group (`sensitivity.by` group).',
      );
    }
    return isCut && !isGiven;
  });
  return { ...whole, parts };
}

function widthsOf(
  parts: readonly PartSensitivity[],
  rates: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    parts.flatMap(({ groups, fewest }) =>
      Object.entries(groups).flatMap(([name, size]) => {
        const rate = rates[name];
        return rate === undefined
          ? []
          : [[name, keptCount(size, rate, 1, fewest?.[name])] as const];
      }),
    ),
  );
}

/** Share of the units of each kind that is gone. */
function shareByKind(
  model: ImageModel,
  widths: Widths,
  kinds: readonly string[],
): Record<string, number> {
  const groups = model.pruningGroups();
  return Object.fromEntries(
    kinds.map((kind) => {
      const own = groups.filter((group) => group.kind === kind);
      const left = sum(own.map(({ name, size }) => widths[name] ?? size));
      return [kind, 1 - left / sum(own.map(({ size }) => size))];
    }),
  );
}
