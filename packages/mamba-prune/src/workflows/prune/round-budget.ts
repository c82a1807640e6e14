// The budget in the course of a run: found to be within reach before anything is written, solved anew in each round with
// the scores of then, and a latency measured on the widths that came out.
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { precisionOn } from '../../models/precision.js';
import { type Widths, widthCosts } from '../../models/width-costs.js';
import type { KeptUnits } from '../../models/groups.js';
import { budgetNames, limitOf } from '../../pruning/budget/amounts.js';
import { leastUnits } from '../../pruning/group-limits.js';
import { fullSize } from '../../pruning/selection.js';
import { latencyTolerance } from './budget-tolerance.js';
import { entriesWithinReach } from './budget-reach.js';
import type { AtRound } from './choose-round-units.js';
import { budgetOfRound } from './cost-budget.js';
import type { PruneJob } from './job.js';
import type { LatencyTable } from './latency-record.js';
import {
  type LatencyTimer,
  benchTimer,
  latencyAt,
  measureLatency,
  measureWidths,
} from './latency-table.js';
import type { PruningRecord } from './record.js';
import type { Standing } from './source.js';

/** Models that are built and measured, at most. */
const mostTurns = 3;

/**
 * Of a new run: measures what a latency is counted with, and finds whether the budget can be reached.
 * @returns the record with what has been measured
 * @throws UsageError for a budget out of reach, or one that the model fits already
 */
export async function beginBudget(job: PruneJob, standing: Standing): Promise<PruningRecord> {
  const { settings } = job;
  const { model, info, record } = standing;
  if (!settings.costBudget || record.rounds.length > 0) return record;
  const latencyTable = record.latencyTable ?? (await tableOf(job, model));
  const costBudget = entriesWithinReach(settings, { model, info, latency: latencyTable });
  return { ...record, costBudget, ...(latencyTable && { latencyTable }) };
}

async function tableOf(job: PruneJob, model: ImageModel): Promise<LatencyTable | undefined> {
  const { settings, device } = job;
  const { costBudget, rates, minWidth, recipe } = settings;
  const { latency } = costBudget ?? {};
  if (!latency) return undefined;
  job.onLatency?.();
  model.to(device);
  return measureLatency(model, {
    batch: latency.batch,
    kinds: Object.keys(rates),
    device,
    precision: precisionOn(device, recipe.precision),
    timer: timerOf(job),
    limit: (denseMs) => limitOf(budgetNames.latency, latency.ms, denseMs),
    least: ({ size, fewest }) => leastUnits(size, minWidth, fewest),
  });
}

const timerOf = ({ control, settings, device }: PruneJob): LatencyTimer =>
  control.latencyTimer ?? benchTimer(device, settings.recipe.precision ?? 'auto', control.signal);

/** Where the cut of a round stands, with the budget that it is held against. */
function atRound({ settings }: PruneJob, { model, info, record }: Standing): AtRound {
  const { widthsBefore: sizes, costBudget, latencyTable: latency } = record;
  const round = record.rounds.length + 1;
  if (costBudget) {
    const budget = budgetOfRound(costBudget, settings, { model, info, latency }, round);
    return { sizes, round, costBudget: budget };
  }
  const cost = settings.rankBy === 'score-per-cost' ? widthCosts(model).macs : undefined;
  return { sizes, round, ...(cost && { cost }) };
}

/** Units that were chosen, and the record with what was measured of them. */
export interface Chosen<T> {
  readonly choice: T;
  readonly record: PruningRecord;
}

/**
 * Chooses the units of a round. In the last round of a budget of latency the widths that come out are built, with random
 * weights, and measured; where they miss the limit, the table is moved by what they took longer and all is solved again.
 */
export async function chooseWithin<T extends { readonly kept: KeptUnits }>(
  job: PruneJob,
  standing: Standing,
  choose: (at: AtRound) => Promise<T>,
): Promise<Chosen<T>> {
  const { record, model } = standing;
  const choice = await choose(atRound(job, standing));
  const { latencyTable: table, costBudget: entries = [] } = record;
  const limit = entries.find(({ of }) => of === 'latency')?.limit;
  const isLast = record.rounds.length + 1 === job.settings.rounds;
  if (!table || limit === undefined || !isLast) return { choice, record };
  let best: (Chosen<T> & { readonly ms: number }) | undefined;
  let tried: Chosen<T> = { choice, record };
  for (let turn = 1; ; turn++) {
    const used = tried.record.latencyTable ?? table;
    const widths = widthsOf(model, tried.choice.kept);
    const timing = await measureWidths(used, model, widths, timerOf(job));
    const measured = { measured: timing.ms, spread: Math.max(timing.spread, used.spread) };
    const attempt = {
      choice: tried.choice,
      ms: timing.ms,
      record: {
        ...tried.record,
        costBudget: entries.map((entry) =>
          entry.of === 'latency' ? { ...entry, ...measured } : entry,
        ),
      },
    };
    if (!best || isBetter(attempt.ms, best.ms, limit)) best = attempt;
    const isMet = timing.ms <= limit && timing.ms >= (1 - latencyTolerance) * limit;
    if (isMet || turn === mostTurns) return best;
    const offsetMs = used.offsetMs + timing.ms - latencyAt(used, widths);
    const moved = { ...record, latencyTable: { ...used, offsetMs } };
    try {
      const next = await choose(atRound(job, { ...standing, record: moved }));
      tried = { choice: next, record: moved };
    } catch (error) {
      // Out of reach by the moved table: what was found stands, and it is said how far it is off.
      if (error instanceof UsageError) return best;
      throw error;
    }
  }
}

/** The slower of two that hold; else the faster. */
const isBetter = (ms: number, than: number, limit: number): boolean =>
  ms <= limit ? than > limit || ms > than : ms < than;

const widthsOf = (model: ImageModel, kept: KeptUnits): Widths =>
  Object.fromEntries(
    model.pruningGroups().map(({ name, size }) => [name, kept.get(name)?.length ?? size]),
  );

/**
 * Share of the first units of each kind that a budget's cut removes, without what refill gave back.
 * @param sizes - that the run began with
 */
export function solvedRates(
  model: ImageModel,
  kinds: readonly string[],
  sizes: Widths,
  left: (name: string) => number,
): Record<string, number> {
  const groups = model.pruningGroups();
  return Object.fromEntries(
    kinds.map((kind) => {
      const own = groups.filter((group) => group.kind === kind);
      const full = own.reduce((sum, group) => sum + fullSize(group, sizes), 0);
      return [kind, full === 0 ? 0 : 1 - own.reduce((sum, { name }) => sum + left(name), 0) / full];
    }),
  );
}
