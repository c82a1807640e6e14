// How much the loss grows when one part of a model alone is cut. Every point is a cut copy, not a mask. The two compute the
// same, and over two thousand images take about as long: a gate spares the copy, which costs what some tens of images do, and
// a copy spares what is cut. Copies are right for all groups, those that no gate is shown (states, ranks) among them, run
// through the same kernels as the model that will be cut, and leave room for what is done to a cut model before it is measured.
import { checksOf, shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { KeptUnits } from '../../models/groups.js';
import type { ImageModel } from '../../models/image-model.js';
import { inspectModel } from '../../models/inspect.js';
import { requirePrunable } from '../../models/require-model.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { sum } from '../../statistics.js';
import type { Calibration } from '../calibration.js';
import { type ScoreOptions, scoreKinds, scoreUnits } from '../score-units.js';
import { defaultKinds, groupsOfKinds } from '../select-units.js';
import { pruneModel } from '../surgery.js';
import {
  type Part,
  type SensitivityBy,
  unitsForWidths,
  partsOf,
  sensitivityParts,
  fewestOf,
  widthsAt,
} from './parts.js';

/** A model on held-out images. */
export interface Measured {
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of right answers, 0 to 1. */
  readonly accuracy: number;
}

/** The same with what the model costs. */
export interface MeasuredModel extends Measured {
  readonly parameters: number;
  /** Multiply-accumulates of one image. */
  readonly macs: number;
}

/** What a model is when one part of it alone is cut at a rate. */
export interface SensitivityPoint extends MeasuredModel {
  /** Share of the units that was asked to go. */
  readonly rate: number;
  /** Units that stayed, in all groups of the part. */
  readonly kept: number;
}

/** One part of a model, with a point for each rate. */
export interface PartSensitivity {
  /** Of the group, the block or the kind. */
  readonly name: string;
  /** Kinds of its groups, each once. */
  readonly kinds: readonly string[];
  /** Size of each of its groups before the cut, by name. */
  readonly groups: Readonly<Record<string, number>>;
  /** Units that a group keeps at least, by name, of those that keep more than one; not in earlier files. */
  readonly fewest?: Readonly<Record<string, number>> | undefined;
  /** By rate, increasing; fewer than there are rates while they are being measured. */
  readonly points: readonly SensitivityPoint[];
}

/** How sensitive each part of a model is; plain JSON. */
export interface Sensitivity {
  readonly by: SensitivityBy;
  /** Increasing. */
  readonly rates: readonly number[];
  /** Multiple that widths were rounded up to. */
  readonly roundTo: number;
  /** The model that nothing is cut from. */
  readonly dense: MeasuredModel;
  /** In the order of the network. */
  readonly parts: readonly PartSensitivity[];
}

/** Measures a model on held-out images, always the same ones. What it throws ends the measurement. */
export type Evaluate = (model: ImageModel) => Promise<Measured>;

/**
 * Makes the smaller model, a new one; the given one stays as it is. The place for what is done beside the cut before a model is
 * measured: compensation, or batch normalisation measured again.
 */
export type CutModel = (model: ImageModel, kept: KeptUnits) => ImageModel | Promise<ImageModel>;

export interface MeasureSensitivityOptions extends ScoreOptions {
  /** What is cut together. Default `group`. */
  readonly by?: SensitivityBy | undefined;
  /** Shares of a part to remove, each above 0 and below 1. Default `[0.3, 0.5, 0.7, 0.9]`. */
  readonly rates?: readonly number[] | undefined;
  /** Kinds of groups to cut. By default all that are not optional. */
  readonly kinds?: readonly string[] | undefined;
  /** Round the units kept of each group up to a multiple of this. Default `1`. */
  readonly roundTo?: number | undefined;
  readonly evaluate: Evaluate;
  /** Images for the scores that look at some. */
  readonly calibration?: Calibration | undefined;
  /** Default `pruneModel`. */
  readonly cut?: CutModel | undefined;
  /** What was measured before, of the same model and with the same options: it is not measured again. */
  readonly known?: Sensitivity | undefined;
  /** Asked before each point: true ends the measurement early. */
  readonly isOver?: (() => boolean) | undefined;
  /** Before the first point and after each, with all that is known by then. */
  readonly onPoint?: ((state: Sensitivity, done: number, total: number) => void) | undefined;
}

const measureKinds: OptionKinds<MeasureSensitivityOptions> = {
  ...scoreKinds,
  by: 'string',
  rates: 'any',
  kinds: 'any',
  roundTo: 'number',
  evaluate: 'function',
  calibration: 'function',
  cut: 'function',
  known: 'object',
  isOver: 'function',
  onPoint: 'function',
};

export const defaultSensitivityRates = [0.3, 0.5, 0.7, 0.9] as const;

/** Points that a measurement has when it is complete. */
const pointsOf = ({ parts, rates }: Sensitivity): number => parts.length * rates.length;

/** Points that are there. */
export const pointsDone = ({ parts }: Sensitivity): number =>
  parts.reduce((sum, { points }) => sum + points.length, 0);

export const isComplete = (sensitivity: Sensitivity): boolean =>
  pointsDone(sensitivity) >= pointsOf(sensitivity);

/**
 * Cuts each part of a model alone at several rates and measures what is left of its loss and accuracy. Units go by their
 * scores in the whole model, as in `selectUnits`. The model stays as it is.
 * @returns what was measured; fewer points than `pointsOf` where `isOver` ended it
 * @throws UsageError for options out of range, and what `scoreUnits`, `evaluate` and `cut` throw
 */
export async function measureSensitivity(
  model: ImageModel,
  options: MeasureSensitivityOptions,
): Promise<Sensitivity> {
  requirePrunable('measureSensitivity', model);
  requireOptions('measureSensitivity', options, measureKinds, ['evaluate']);
  const { by = 'group', evaluate, calibration, cut = pruneModel, known } = options;
  const { importance, score, roundTo = 1, isOver, onPoint } = options;
  const { oneOf, integer } = checksOf('measureSensitivity');
  oneOf('by', by, sensitivityParts);
  integer('roundTo', roundTo, { min: 1 });
  const rates = checkedRates(options.rates ?? defaultSensitivityRates);
  const groups = groupsOfKinds(model, options.kinds ?? defaultKinds(model));
  const parts = partsOf(groups, by);
  const over = (): boolean => isOver?.() === true;

  const dense = known?.dense ?? (await measured(model, model, evaluate));
  let state: Sensitivity = {
    by,
    rates,
    roundTo,
    dense,
    parts: parts.map((part) => emptyPart(part, known)),
  };
  const total = pointsOf(state);
  onPoint?.(state, pointsDone(state), total);
  if (isComplete(state) || over()) return state;
  const scores = await scoreUnits(model, groups, { importance, score }, calibration);
  for (const [index, part] of parts.entries()) {
    for (const rate of rates) {
      const own = state.parts[index] as PartSensitivity;
      if (own.points.some((point) => point.rate === rate)) continue;
      if (over()) return state;
      const widths = widthsAt(own, rate, roundTo);
      const copy = await cut(model, unitsForWidths(scores, widths));
      try {
        const point: SensitivityPoint = {
          rate,
          kept: sum(Object.values(widths)),
          ...(await measured(model, copy, evaluate)),
        };
        state = withPoint(state, part.name, point);
      } finally {
        copy.dispose();
      }
      onPoint?.(state, pointsDone(state), total);
    }
  }
  return state;
}

/** @param like - where the model is to be measured: a copy is made on the CPU */
export async function measured(
  like: ImageModel,
  model: ImageModel,
  evaluate: Evaluate,
): Promise<MeasuredModel> {
  const [first] = like.parameters();
  if (first && model !== like) model.to(first.device);
  const answer: unknown = await evaluate(model);
  const { loss, accuracy } = (answer ?? {}) as Partial<Measured>;
  if (typeof loss !== 'number' || typeof accuracy !== 'number') {
    throw new UsageError(
      `measureSensitivity: \`evaluate\` gave ${shown(answer)}${answer === undefined ? ' (evaluateModel gives that where its signal has stopped it)' : ''}, expected { loss, accuracy }, two numbers. ` +
        'Throw an error to end the measurement.',
    );
  }
  const { parameters, macs } = inspectModel(model);
  return { loss, accuracy, parameters, macs };
}

function emptyPart({ name, groups }: Part, known: Sensitivity | undefined): PartSensitivity {
  const fewest = fewestOf(groups);
  return {
    name,
    kinds: [...new Set(groups.map(({ kind }) => kind))],
    groups: Object.fromEntries(groups.map(({ name: group, size }) => [group, size])),
    ...(fewest && { fewest }),
    points: known?.parts.find((part) => part.name === name)?.points ?? [],
  };
}

function withPoint(state: Sensitivity, name: string, point: SensitivityPoint): Sensitivity {
  return {
    ...state,
    parts: state.parts.map((part) =>
      part.name === name
        ? { ...part, points: [...part.points, point].sort((a, b) => a.rate - b.rate) }
        : part,
    ),
  };
}

/** @throws UsageError for none, one twice, or one that removes nothing or everything */
function checkedRates(rates: readonly number[]): number[] {
  const { number } = checksOf('measureSensitivity');
  const checked = rates.map((rate) => number('rate', rate, { above: 0, below: 1 }));
  if (checked.length === 0) {
    throw new UsageError('measureSensitivity: rates: got none, expected at least one such as 0.5.');
  }
  return [...new Set(checked)].sort((a, b) => a - b);
}
