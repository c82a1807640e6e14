/** Training options: defaults, checks, and what may change when a run is resumed. */
import { checksOf } from '../checks.js';
import { type AugmentOptions, augmentPreset, type DatasetInfo } from '../data/index.js';
import { UsageError } from '../errors.js';
import { checkLimits, trainLimits } from '../limits.js';
import { type OptionKinds, checkOptions, requireOptions } from '../option-checks.js';
import { precisionNames } from '../precision.js';
import { ResumeError } from './errors.js';
import { defaultGamma } from './lr-schedule.js';
import { type ResolvedTrainOptions, type TrainOptions, optimizerNames } from './train-options.js';

const where = 'TrainOptions';

const { number, integer, oneOf } = checksOf(where);

/** Ranges of several options. */
const share = { min: 0, max: 1 } as const;
const belowOne = { min: 0, below: 1 } as const;
const count = { min: 1 } as const;
const positive = { above: 0 } as const;

const maybeNumber = ['number', 'null'] as const;

const trainKinds: OptionKinds<TrainOptions> = {
  epochs: 'number',
  batchSize: 'number',
  optimizer: 'string',
  lr: 'number',
  weightDecay: 'number',
  momentum: 'number',
  nesterov: 'boolean',
  betas: 'array',
  warmupEpochs: 'number',
  minLrFactor: 'number',
  schedule: 'string',
  milestones: 'array',
  gamma: 'number',
  labelSmoothing: 'number',
  clipGradNorm: maybeNumber,
  emaDecay: maybeNumber,
  precision: 'string',
  seed: 'number',
  firstEpoch: 'number',
  augment: ['string', 'object'],
  plainEpochs: 'number',
  plainAugment: ['string', 'object'],
  evalEvery: 'number',
  evalBatchSize: 'number',
  maxTrainImages: maybeNumber,
  maxTestImages: maybeNumber,
  checkpointEvery: 'object',
  logEverySteps: maybeNumber,
};

const augmentKinds: OptionKinds<AugmentOptions> = {
  resizedCrop: 'object',
  padCrop: 'number',
  flip: 'boolean',
  randAugment: 'object',
  cutout: 'number',
  erasing: 'number',
  mixup: 'number',
  cutmix: 'number',
  mixProbability: 'number',
  sampling: 'string',
};

/** By the names of the options. */
const limits = {
  epochs: trainLimits.epochs,
  firstEpoch: trainLimits.epochs,
  warmupEpochs: trainLimits.epochs,
  batchSize: trainLimits.batchSize,
  evalBatchSize: trainLimits.batchSize,
  lr: trainLimits.lr,
  weightDecay: trainLimits.strength,
  clipGradNorm: trainLimits.strength,
  evalEvery: trainLimits.epochs,
  maxTrainImages: trainLimits.images,
  maxTestImages: trainLimits.images,
  logEverySteps: trainLimits.steps,
} as const satisfies Partial<Record<keyof TrainOptions, number>>;

/**
 * Fills in the defaults and checks every option.
 * @param info - of the data set, whose size the augmentation presets depend on
 * @throws UsageError naming the option, TooLargeError if it is a number beyond its range; DataError for an unknown augmentation preset
 */
export function resolveTrainOptions(options: TrainOptions, info: ImageSize): ResolvedTrainOptions {
  requireOptions(where, options, trainKinds);
  checkLimits(where, { ...options }, limits);
  const optimizer = oneOf('optimizer', options.optimizer ?? 'adamw', optimizerNames);
  const schedules = ['cosine', 'constant', 'multistep'] as const;
  const schedule = oneOf('schedule', options.schedule ?? 'cosine', schedules);
  const sgd = optimizer === 'sgd';
  const batchSize = integer('batchSize', options.batchSize ?? 128, count);
  const betas = options.betas ?? [0.9, 0.999];
  const { augment = 'none' } = options;
  const every = options.checkpointEvery ?? {};
  checkOptions(`${where}: checkpointEvery`, every, { minutes: maybeNumber, steps: maybeNumber });
  const precision = oneOf('precision', options.precision ?? 'auto', precisionNames);
  const momentum = number('momentum', options.momentum ?? 0.9, belowOne);
  const nesterov = options.nesterov ?? false;
  if (sgd && nesterov && momentum === 0) {
    throw new UsageError(
      `${where}: got \`nesterov\` with \`momentum\` 0, expected a momentum above 0. Give one, or leave \`nesterov\` out.`,
    );
  }
  return {
    epochs: integer('epochs', options.epochs, count),
    batchSize,
    optimizer,
    lr: number('lr', options.lr ?? (sgd ? 0.1 : 1e-3), positive),
    weightDecay: number('weightDecay', options.weightDecay ?? (sgd ? 5e-4 : 0.05), { min: 0 }),
    momentum,
    nesterov,
    betas: [number('betas[0]', betas[0], belowOne), number('betas[1]', betas[1], belowOne)],
    warmupEpochs: number('warmupEpochs', options.warmupEpochs ?? 0, {
      min: 0,
      max: options.epochs,
    }),
    minLrFactor: number('minLrFactor', options.minLrFactor ?? 0, share),
    schedule,
    ...multiStepOptions(options, schedule),
    labelSmoothing: number('labelSmoothing', options.labelSmoothing ?? 0, belowOne),
    clipGradNorm: maybe(options.clipGradNorm, (value) => number('clipGradNorm', value, positive)),
    emaDecay: maybe(options.emaDecay, (value) => number('emaDecay', value, belowOne)),
    seed: integer('seed', options.seed ?? 0, { min: 0 }),
    augment: augmentOf(augment, info),
    ...plainOptions(options, info),
    evalEvery: integer('evalEvery', options.evalEvery ?? 1, count),
    evalBatchSize: integer(
      'evalBatchSize',
      options.evalBatchSize ?? Math.max(256, batchSize),
      count,
    ),
    maxTrainImages: maybe(options.maxTrainImages, (value) =>
      integer('maxTrainImages', value, count),
    ),
    maxTestImages: maybe(options.maxTestImages, (value) => integer('maxTestImages', value, count)),
    // Stored options of a training by itself stay what they were.
    ...(options.firstEpoch !== undefined &&
      options.firstEpoch !== 0 && {
        firstEpoch: integer('firstEpoch', options.firstEpoch, { min: 0 }),
      }),
    ...(precision !== 'auto' && { precision }),
    checkpointEvery: {
      minutes:
        every.minutes === undefined
          ? 10
          : maybe(every.minutes, (value) => number('checkpointEvery.minutes', value, positive)),
      steps: maybe(every.steps, (value) => integer('checkpointEvery.steps', value, count)),
    },
    logEverySteps: maybe(options.logEverySteps, (value) => integer('logEverySteps', value, count)),
  };
}

type ImageSize = Pick<DatasetInfo, 'height' | 'width'>;

function augmentOf(augment: AugmentOptions | string, info: ImageSize): AugmentOptions {
  if (typeof augment === 'string') return augmentPreset(augment, info);
  checkOptions(`${where}: augment`, augment, augmentKinds);
  const { resizedCrop, randAugment } = augment;
  checkOptions(`${where}: augment.resizedCrop`, resizedCrop, {
    scale: 'array',
    ratio: 'array',
    resize: 'string',
  });
  checkOptions(`${where}: augment.randAugment`, randAugment, {
    ops: 'number',
    magnitude: 'number',
  });
  return augment;
}

/** Nothing where there are none, so that the stored options of other trainings stay what they were. */
function plainOptions(
  { epochs, plainEpochs = 0, plainAugment }: TrainOptions,
  info: ImageSize,
): Pick<ResolvedTrainOptions, 'plainEpochs' | 'plainAugment'> {
  if (integer('plainEpochs', plainEpochs, { min: 0 }) > epochs) {
    throw new UsageError(
      `${where}: plainEpochs: got ${plainEpochs}, expected at most ${epochs}, the epochs of the training.`,
    );
  }
  if (plainEpochs > 0) {
    return { plainEpochs, ...(plainAugment && { plainAugment: augmentOf(plainAugment, info) }) };
  }
  if (plainAugment === undefined) return {};
  throw new UsageError(
    `${where}: got \`plainAugment\` without plain epochs, expected some. Give \`plainEpochs\`, or leave it out.`,
  );
}

/** Nothing under the other schedules, so that their stored options stay what they were. */
function multiStepOptions(
  { milestones, gamma }: Pick<TrainOptions, 'milestones' | 'gamma'>,
  schedule: ResolvedTrainOptions['schedule'],
): Pick<ResolvedTrainOptions, 'milestones' | 'gamma'> {
  if (schedule !== 'multistep') {
    const given = milestones ? 'milestones' : gamma === undefined ? undefined : 'gamma';
    if (given === undefined) return {};
    throw new UsageError(
      `${where}: got \`${given}\` with the schedule ${schedule}, expected multistep. Give \`schedule\` multistep, or leave them out.`,
    );
  }
  if (!milestones || milestones.length === 0) {
    throw new UsageError(
      `${where}: milestones: got none, expected the epochs after which the rate falls under the schedule multistep, such as 60, 90.`,
    );
  }
  milestones.forEach((epoch, i) => {
    number(`milestones[${i}]`, epoch, positive);
    const before = milestones[i - 1] ?? 0;
    if (epoch <= before) {
      throw new UsageError(
        `${where}: milestones: got ${epoch} after ${before}, expected increasing epochs.`,
      );
    }
  });
  return { milestones, gamma: number('gamma', gamma ?? defaultGamma, share) };
}

/** May differ on resume: no weight and no line of the metrics depends on it. */
const free: ReadonlySet<string> = new Set(['checkpointEvery']);

/**
 * Refuses options on resume that are not those the training began with.
 *
 * `checkpointEvery` is free. `epochs` may grow: the schedule from then on is that of the longer
 * training, so a training that is stopped, lengthened and resumed is not the one that was longer
 * from the start (with a constant schedule it is).
 *
 * @param source - where `before` was read from, for the message
 * @returns a note for the user about what changes, if anything does
 * @throws ResumeError naming every option that differs
 */
export function checkResumeOptions(
  before: ResolvedTrainOptions,
  now: ResolvedTrainOptions,
  source: string,
): string | undefined {
  const changes: { name: string; before: string; now: string }[] = [];
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (free.has(name)) continue;
    const a = stableJson(before[name as keyof ResolvedTrainOptions]);
    const b = stableJson(now[name as keyof ResolvedTrainOptions]);
    if (a !== b) changes.push({ name, before: a, now: b });
  }
  const longer = now.epochs > before.epochs;
  const refused = changes.filter(({ name }) => !(name === 'epochs' && longer));
  if (refused.length > 0) {
    const list = refused.map((c) => `${c.name}: got ${c.now}, expected ${c.before}`).join('; ');
    throw new ResumeError(
      refused.map(({ name }) => name),
      `resume: the options differ from those in ${source}: ${list}. ` +
        'Leave them out to go on as before (only epochs may grow), or start a new run.',
    );
  }
  if (!longer) return undefined;
  const plain = now.plainEpochs === undefined ? '' : `, and its plain epochs are the last of those`;
  return `The training grows from ${before.epochs} to ${now.epochs} epochs; its learning rate follows the longer schedule from here on${plain}.`;
}

/** JSON with sorted keys, so that equal values make equal text. */
export function stableJson(value: unknown): string {
  const sorted = (_key: string, item: unknown): unknown =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : Number(a > b))))
      : item;
  return value === undefined ? 'nothing' : JSON.stringify(value, sorted);
}

function maybe<T>(value: number | null | undefined, check: (value: number) => T): T | null {
  return value === undefined || value === null ? null : check(value);
}
