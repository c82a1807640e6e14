// How long a model takes by its widths: measured at some widths of each kind, linear between them. What is measured
// serves a whole run, and stands in pruning.json, so that a run which is resumed goes on with the same numbers.
import { benchModel } from '../../bench/bench-model.js';
import { benchmarkModels } from '../../bench/bench.js';
import type { PruningGroup } from '../../models/groups.js';
import type { ImageModel } from '../../models/image-model.js';
import { type Widths, widthCosts } from '../../models/width-costs.js';
import type { Precision } from '../../precision.js';
import { median } from '../../statistics.js';
import type { LatencyTable } from './latency-record.js';

/** What the times of one model come to. */
export interface Timing {
  /** Median over all calls, in milliseconds. */
  readonly ms: number;
  /** Its time over that of the first model, which takes turns with it: the median over the rounds. */
  readonly ratio: number;
  /** Between the quartiles of that ratio over the rounds, as a share of the median. */
  readonly spread: number;
}

/** Times models by turns. Their weights are random, which takes as long as any. */
export type LatencyTimer = (
  models: readonly ImageModel[],
  batch: number,
) => Promise<readonly Timing[]>;

/** Shares of the units at which a kind is measured. */
const measuredShares = [0.05, 0.15, 0.3, 0.45, 0.6, 0.8, 1];

/** As `bench` times: calls in turn, so that what slows the machine for a while slows all models alike. */
export function benchTimer(
  device: string,
  precision: Precision,
  signal?: AbortSignal,
): LatencyTimer {
  return async (models, batch) => {
    const results = await benchmarkModels(
      models.map((model, i) => benchModel(String(i), model)),
      {
        batches: [batch],
        rounds: 11,
        minRoundMs: 20,
        device,
        precision,
        asInTraining: true,
        ...(signal && { signal }),
      },
    );
    return results.map(({ medianMs, speedup: { median, q1, q3 } }) => ({
      ms: medianMs,
      ratio: 1 / median,
      spread: (q3 - q1) / median,
    }));
  };
}

interface TableOptions {
  readonly batch: number;
  /** Kinds that are cut. */
  readonly kinds: readonly string[];
  readonly device: string;
  readonly precision: string;
  readonly timer: LatencyTimer;
  /** Of which the kinds are to be measured at about the widths that will come out. @returns ms @param denseMs - before */
  readonly limit: (denseMs: number) => number;
  /** Least units that a group keeps. */
  readonly least: (group: PruningGroup) => number;
}

/**
 * Measures each kind with the others whole, estimates the share at which the limit is met, and measures each kind again
 * with the others at that share.
 */
export async function measureLatency(
  model: ImageModel,
  { batch, kinds, device, precision, timer, limit, least }: TableOptions,
): Promise<LatencyTable> {
  const groups = model.pruningGroups().filter(({ kind }) => kinds.includes(kind));
  const sizes = Object.fromEntries(groups.map(({ name, size }) => [name, size]));
  const widthsAt = (shares: Readonly<Record<string, number>>): Widths =>
    Object.fromEntries(
      groups.map((group) => [
        group.name,
        Math.min(
          group.size,
          Math.max(1, least(group), Math.round((shares[group.kind] ?? 1) * group.size)),
        ),
      ]),
    );
  let spread = 0;
  const dense: number[] = [];
  /** Shares of the time of the whole model, which was timed at the same time. */
  const time = async (all: readonly Readonly<Record<string, number>>[]): Promise<number[]> => {
    const timed = await timeWidths(model, [{}, ...all.map(widthsAt)], batch, timer);
    spread = Math.max(spread, ...timed.map((timing) => timing.spread));
    dense.push(timed[0]?.ms ?? NaN);
    return timed.slice(1).map(({ ratio }) => ratio);
  };
  const narrowest = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  let shortest = Infinity;
  const around = async (base: Readonly<Record<string, number>>) => {
    const tables: [string, LatencyTable['kinds'][string]][] = [];
    let baseMs = NaN;
    for (const kind of kinds) {
      const shares = [...new Set([...measuredShares, base[kind] ?? 1])].sort((a, b) => a - b);
      const times = await time([...shares.map((share) => ({ ...base, [kind]: share })), narrowest]);
      shortest = Math.min(shortest, times.at(-1) as number);
      baseMs = times[shares.indexOf(base[kind] ?? 1)] as number;
      const points = rising(shares.map((share, i) => ({ share, ms: times[i] as number })));
      const names = groups.flatMap((group) => (group.kind === kind ? [group.name] : []));
      tables.push([kind, { groups: names, base: base[kind] ?? 1, points }]);
    }
    return { kinds: Object.fromEntries(tables), baseMs };
  };
  const weights = weightsOf(model, kinds);
  /** In milliseconds of the time that the whole model took in the middle of all measurements. */
  const tableOf = ({ kinds: tables, baseMs }: Awaited<ReturnType<typeof around>>): LatencyTable => {
    const denseMs = median(dense);
    const inMs = ({ points, ...rest }: LatencyTable['kinds'][string]) => ({
      ...rest,
      points: points.map(({ share, ms }) => ({ share, ms: ms * denseMs })),
    });
    return {
      batch,
      device,
      precision,
      denseMs,
      spread,
      sizes,
      weights,
      leastMs: shortest * denseMs,
      offsetMs: 0,
      kinds: Object.fromEntries(Object.entries(tables).map(([kind, table]) => [kind, inMs(table)])),
      baseMs: baseMs * denseMs,
    };
  };
  const first = tableOf(await around(Object.fromEntries(kinds.map((kind) => [kind, 1]))));
  if (kinds.length === 1) return first;
  const share = shareFor(first, limit(first.denseMs));
  return tableOf(await around(Object.fromEntries(kinds.map((kind) => [kind, share]))));
}

/** Milliseconds that a model of these widths takes, on the scale of a table, and the spread of what was measured. */
export async function measureWidths(
  table: LatencyTable,
  model: ImageModel,
  widths: Widths,
  timer: LatencyTimer,
): Promise<{ readonly ms: number; readonly spread: number }> {
  const [, timing] = await timeWidths(model, [table.sizes, widths], table.batch, timer);
  return { ms: (timing?.ratio ?? NaN) * table.denseMs, spread: timing?.spread ?? NaN };
}

/** Models of these widths, made, timed by turns and disposed of. */
async function timeWidths(
  model: ImageModel,
  widths: readonly Widths[],
  batch: number,
  timer: LatencyTimer,
): Promise<readonly Timing[]> {
  const [device] = model.parameters().map((parameter) => parameter.device);
  const models: ImageModel[] = [];
  try {
    for (const each of widths) {
      const made = model.withWidths(each);
      models.push(made);
      made.to(device ?? 'cpu').eval();
    }
    return await timer(models, batch);
  } finally {
    for (const made of models) made.dispose();
  }
}

/**
 * Milliseconds that the table says a model takes: never less than the narrowest one took, where the savings of several kinds
 * together promise more than there is.
 * @param widths - of all its groups
 */
export function latencyAt(table: LatencyTable, widths: Widths): number {
  const { sizes, weights, kinds, baseMs, leastMs = 0, offsetMs } = table;
  let ms = baseMs + offsetMs;
  for (const { groups, base, points } of Object.values(kinds)) {
    const atBase = interpolated(points, base);
    for (const name of groups) {
      const share = (widths[name] ?? 0) / (sizes[name] ?? 1);
      ms += (weights[name] ?? 0) * (interpolated(points, share) - atBase);
    }
  }
  return Math.max(leastMs, ms);
}

type Point = LatencyTable['kinds'][string]['points'][number];

/** Linear between the points, and on beyond the first and the last as the line there goes. */
function interpolated(points: readonly Point[], share: number): number {
  const last = points.length - 1;
  if (last < 1) return points[0]?.ms ?? 0;
  const after = points.findIndex((point) => point.share >= share);
  const right = Math.max(1, after < 0 ? last : after);
  const [a, b] = [points[right - 1] as Point, points[right] as Point];
  return a.ms + ((b.ms - a.ms) * (share - a.share)) / (b.share - a.share);
}

/** A wider model takes no less time: where it was measured so, that was noise. */
function rising(points: readonly Point[]): Point[] {
  let most = 0;
  return points.map(({ share, ms }) => {
    most = Math.max(most, ms);
    return { share, ms: most };
  });
}

/** The same share of every kind at which the table meets a limit; 0.05 to 1. */
function shareFor(table: LatencyTable, limit: number): number {
  const at = (share: number): number =>
    latencyAt(
      table,
      Object.fromEntries(Object.entries(table.sizes).map(([name, size]) => [name, share * size])),
    );
  let low = 0.05;
  let high = 1;
  for (let turn = 0; turn < 40; turn++) {
    const middle = (low + high) / 2;
    if (at(middle) > limit) high = middle;
    else low = middle;
  }
  return Number(low.toFixed(3));
}

/** What removing a group saves of the multiply-accumulates of its kind. */
function weightsOf(model: ImageModel, kinds: readonly string[]): Record<string, number> {
  const costs = widthCosts(model);
  const all = costs.macs({});
  const groups = model.pruningGroups();
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const own = groups.filter((group) => group.kind === kind);
      const saved = own.map(({ name }) => all - costs.macs({ [name]: 1 }));
      const sum = saved.reduce((a, b) => a + b, 0);
      return own.map(({ name }, i): [string, number] => [
        name,
        sum > 0 ? (saved[i] as number) / sum : 1 / own.length,
      ]);
    }),
  );
}
