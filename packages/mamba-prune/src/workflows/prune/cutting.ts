// One cut: measure, score, select, cut, compensate, batch normalisation, measure again, rewind.
import { inspectModel } from '../../models/inspect.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import type { KeptUnits } from '../../models/groups.js';
import { fewestOf } from '../../pruning/sensitivity/parts.js';
import { type TensorCut, pruneModel, tensorCut } from '../../pruning/surgery.js';
import type { CompensationRecord } from './compensation-record.js';
import { type CutFacts, compensationFacts, cutStep } from './history-steps.js';
import { composeKept, encodeKept } from './kept-units.js';
import { type PruneJob, importOfRewind, rewoundWidths } from './job.js';
import { compensated, measure, reestimate } from './measuring.js';
import type { Standing } from './source.js';
import type { PruneHooks } from './hooks.js';
import type { ResolvedPruneSettings } from './settings.js';
import type { PruningRecord, RoundRecord } from './record.js';
import { rewoundModel } from './rewound-weights.js';
import { type RoundChoice, chooseRoundUnits } from './choose-round-units.js';
import { reachedEntries } from './cost-budget.js';
import { type DoomedLeft, doomedNorms, sharesLeft } from './doomed-norms.js';
import { type Chosen, chooseWithin, solvedRates } from './round-budget.js';
import { reachedRates } from './reached-rates.js';
import { ratesAfter } from './rates-after-round.js';
import type { RoundScores } from './unit-scores.js';

export interface Cut {
  /** The caller's to dispose. */
  readonly model: ImageModel;
  /** With the cut in its history. */
  readonly info: ModelInfo;
  /** With the round as its last entry, not finished. */
  readonly record: PruningRecord;
  /** What it went by; undefined if the units were chosen before. */
  readonly scores: RoundScores | undefined;
}

/**
 * Makes the cut of the round after those in the record; nothing is written.
 * @returns undefined if the signal stopped it
 */
export async function cutRound(
  job: PruneJob,
  standing: Standing,
  hooks: PruneHooks,
): Promise<Cut | undefined> {
  const { model, info, record: earlier, accuracy, cutAfterEpoch } = standing;
  const { settings, device, calibration } = job;
  const round = earlier.rounds.length + 1;
  const before = accuracy ?? (await measure(job, model, 'before', hooks));
  if (before === undefined) return undefined;
  hooks.onScore?.(round, settings.rounds);
  // What was pushed towards zero goes, whether or not all of it arrived there.
  const { wanted } = earlier;
  const { choice, record }: Chosen<RoundChoice> =
    wanted?.round === round
      ? { choice: { kept: unitMap(wanted.kept) }, record: earlier }
      : await chooseWithin(job, standing, (at) =>
          chooseRoundUnits(model, settings, at, calibration),
        );
  const doomedLeft = leftOfDoomed(settings, standing, choice.kept);
  const cut = pruneModel(model, choice.kept).to(device);
  try {
    const compensation = await compensated(job, { model, cut }, choice.kept, hooks);
    const goesOn = compensation !== undefined && (await reestimate(job, cut, hooks));
    const afterCut = goesOn ? await measure(job, cut, 'after the cut', hooks) : undefined;
    if (afterCut === undefined) {
      cut.dispose();
      return undefined;
    }
    const measured = {
      accuracy: { before, afterCut, after: null },
      cutAfterEpoch,
      compensation,
      doomedLeft,
    };
    const next = withRound(job, record, cut, choice, measured);
    const step = cutStep(settings, cutFacts(next, model));
    const told = { ...info, history: [...info.history, step] };
    const { latencyTable: latency } = next;
    const costBudget = reachedEntries(next.costBudget, { model: cut, info: told, latency });
    return {
      model: await rewound(job, next, cut),
      info: told,
      record: costBudget ? { ...next, costBudget } : next,
      scores: choice.scores && roundScores(settings, record, model, choice.scores),
    };
  } catch (error) {
    cut.dispose();
    throw error;
  }
}

/**
 * How the last cut of a run cut each tensor, for what has the shape of the parameters before it. From the
 * record: in a run that is resumed the model of then is gone.
 * @param standing - with the model that the cut made
 */
export function lastCut({ model, record }: Pick<Standing, 'model' | 'record'>): TensorCut {
  const before = model.withWidths(record.rounds.at(-2)?.widths ?? record.widthsBefore);
  try {
    return tensorCut(before, keptInLastCut(record));
  } finally {
    before.dispose();
  }
}

/** Units that the last cut left, as the model just before it had them. */
function keptInLastCut({ rounds, kept, keptInSource }: PruningRecord): KeptUnits {
  const earlier = rounds.at(-2)?.kept;
  if (!earlier) return unitMap(keptInSource);
  return new Map(
    Object.entries(kept).map(([name, units]) => {
      const places = new Map(earlier[name]?.map((unit, place) => [unit, place]));
      return [name, earlier[name] ? units.map((unit) => places.get(unit) as number) : units];
    }),
  );
}

/** @returns undefined where no units were chosen before they were regularised, or an older version chose them */
function leftOfDoomed(
  { rsst }: ResolvedPruneSettings,
  { model, record }: Standing,
  kept: KeptUnits,
): DoomedLeft | undefined {
  const { wanted, rounds } = record;
  if (!rsst || !wanted?.norms || wanted.round !== rounds.length + 1) return undefined;
  const kinds = sharesLeft(wanted.norms, doomedNorms(model, kept, rsst.norm));
  return { apply: rsst.apply, kinds };
}

/** What a cut found and left, and after which epoch it came. */
interface RoundMeasured extends Pick<RoundRecord, 'accuracy' | 'cutAfterEpoch' | 'doomedLeft'> {
  readonly compensation: CompensationRecord | null | undefined;
}

function withRound(
  { settings }: PruneJob,
  record: PruningRecord,
  cut: ImageModel,
  { kept, returned }: RoundChoice,
  { accuracy, cutAfterEpoch, compensation, doomedLeft }: RoundMeasured,
): PruningRecord {
  const { groups, parameters, macs } = inspectModel(cut);
  const earlier = unitMap(record.kept);
  const round = record.rounds.length + 1;
  const widths = Object.fromEntries(groups.map(({ name, width }) => [name, width]));
  const { reached, heldBack } = reachedRates(settings, round, {
    ...record,
    widths,
    returned,
    fewest: fewestOf(cut.pruningGroups()),
  });
  const entry: RoundRecord = {
    round,
    rates: settings.costBudget
      ? solvedRates(cut, Object.keys(settings.rates), record.widthsBefore, (name) => {
          // Under the refill budget keep the rate is that of the model with the units that return.
          const back = settings.refill?.budget === 'add' ? (returned?.get(name)?.length ?? 0) : 0;
          return (widths[name] ?? 0) - back;
        })
      : ratesAfter(settings, round),
    widths,
    reached,
    kept: unitLists(composeKept(earlier, kept)),
    ...(returned && { returned: unitLists(inDense(earlier, returned)) }),
    ...(cutAfterEpoch !== undefined && { cutAfterEpoch }),
    parameters,
    macs,
    accuracy,
    ...(compensation && { compensation }),
    ...(doomedLeft && { doomedLeft }),
    finished: false,
  };
  return {
    ...record,
    wanted: undefined,
    reached,
    heldBack,
    widthsAfter: entry.widths,
    kept: entry.kept,
    keptInSource: unitLists(composeKept(unitMap(record.keptInSource), kept)),
    parameters: { before: record.parameters.before, after: parameters },
    macs: { before: record.macs.before, after: macs },
    accuracy: { ...record.accuracy, afterCut: accuracy.afterCut, after: null },
    rounds: [...record.rounds, entry],
  };
}

/** @param model - the one that the scores are of */
export function roundScores(
  { rsst, importance, score, ranking, normalize }: ResolvedPruneSettings,
  record: PruningRecord,
  model: ImageModel,
  scores: NonNullable<RoundChoice['scores']>,
): RoundScores {
  // Doomed units are chosen by importance before they are driven to zero.
  const byNorm = rsst !== undefined && rsst.units !== 'doomed';
  return {
    round: record.rounds.length + 1,
    measure: byNorm ? `${rsst.norm} norm` : `${importance} of ${score}`,
    ranking,
    normalize,
    groups: model.pruningGroups().flatMap(({ name, kind, size }) => {
      const values = scores.get(name);
      const units = record.kept[name] ?? Array.from({ length: size }, (_, i) => i);
      return values ? [{ name, kind, units, scores: values }] : [];
    }),
  };
}

/** Only the groups named in `units`, in units of the dense model. */
function inDense(earlier: KeptUnits, units: KeptUnits): KeptUnits {
  const composed = composeKept(earlier, units);
  return new Map(Array.from(units.keys(), (name) => [name, composed.get(name) ?? []]));
}

export const unitMap = (lists: Readonly<Record<string, readonly number[]>>): KeptUnits =>
  new Map(Object.entries(lists));

export const unitLists = (units: KeptUnits): Record<string, number[]> =>
  Object.fromEntries(Array.from(units, ([name, list]) => [name, [...list]]));

/** What the last cut of the record came to. */
function cutFacts({ rounds }: PruningRecord, before: ImageModel): CutFacts {
  const { round, rates, widths, kept, compensation } = rounds.at(-1) as RoundRecord;
  return {
    round,
    rates,
    widthsBefore: Object.fromEntries(before.pruningGroups().map(({ name, size }) => [name, size])),
    widthsAfter: widths,
    kept: encodeKept(unitMap(kept)),
    compensation: compensation && compensationFacts(compensation),
  };
}

/** The cut model, or the same units as they were at the time to rewind to. */
async function rewound(job: PruneJob, record: PruningRecord, cut: ImageModel): Promise<ImageModel> {
  const { rewindFile: file, settings, device } = job;
  if (file === undefined) return cut;
  const kept = settings.rewind === 'source' ? record.keptInSource : record.kept;
  const shape = {
    config: cut.config,
    widths: rewoundWidths(settings, record),
    import: importOfRewind(settings),
  };
  const model = (await rewoundModel(file, unitMap(kept), shape)).to(device);
  cut.dispose();
  return model;
}
