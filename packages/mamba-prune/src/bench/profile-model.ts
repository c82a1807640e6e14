// Where the time of an inference and of a training step goes, operator by operator (`bench --profile`).
import {
  F,
  Generator,
  SingleValueError,
  type Tensor,
  noGrad,
  optim,
  profileOperators,
  randint,
  randn,
  scope,
} from '@mamba-prune/libtorch';
import { checksOf } from '../checks.js';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { prepareInference } from '../models/inference-precision.js';
import { rememberModes } from '../models/modes.js';
import { imageType } from '../models/precision.js';
import { requireModel } from '../models/require-model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { ResolvedInferencePrecision } from '../precision.js';

/** What is done to the images. */
export type ProfiledPass = 'inference' | 'training';

/** The part of a pass in which an operator was called. */
export type ProfiledPhase = 'forward' | 'backward' | 'optimizer';

/** What one operator, or one stage of the operators of whole blocks, took in a phase. */
export interface ProfiledPart {
  readonly phase: ProfiledPhase;
  /** As `OperatorTime.name` has it; `outside of operators` for JavaScript, and libtorch's own work between two operators. */
  readonly name: string;
  /** In one pass. */
  readonly calls: number;
  /** Milliseconds in one pass, without those of other parts that it called. */
  readonly ms: number;
  /** Of the pass. */
  readonly share: number;
}

/** One pass: the mean of several. */
export interface PassProfile {
  readonly model: string;
  readonly batch: number;
  readonly pass: ProfiledPass;
  readonly ms: number;
  /** Add up to `ms`; the longest first. */
  readonly parts: readonly ProfiledPart[];
}

/** A part of its own, in every phase. */
export const outsideOfOperators = 'outside of operators';

export interface ProfileOptions {
  readonly batch: number;
  /** What an inference computes in. A training step is profiled in `fp32` only. Default `fp32`. */
  readonly precision?: ResolvedInferencePrecision;
  /** Passes that the mean is taken of, after two that do not count. Default `5`. */
  readonly passes?: number;
  /** Of the random images. Default `0`. */
  readonly seed?: number;
}

const profileKinds: OptionKinds<ProfileOptions> = {
  batch: 'number',
  precision: 'string',
  passes: 'number',
  seed: 'number',
};

/** Passes that do not count: memory is taken, and threads start. */
const warmup = 2;

/**
 * Profiles an inference and, in float32, a training step (cross entropy and AdamW) on the CPU. The step has learning rate 0: weights stay
 * as they are, but the statistics of a BatchNorm do not. A BatchNorm that would get one value per channel cannot train on it: then
 * there is no profile of a training step.
 *
 * @param name - of the model, in what is returned
 * @throws UsageError for options out of range, or unless the model is on the CPU
 */
export function profileModel(
  name: string,
  model: ImageModel,
  options: ProfileOptions,
): PassProfile[] {
  requireModel('profileModel', model);
  requireOptions('profileModel', options, profileKinds, ['batch']);
  const { batch, precision = 'fp32', passes = 5, seed = 0 } = options;
  const { integer } = checksOf('profileModel');
  integer('batch', batch, { min: 1 });
  integer('passes', passes, { min: 1 });
  integer('seed', seed, { min: 0 });
  const [parameter] = model.parameters();
  const device = parameter?.device ?? 'cpu';
  if (device !== 'cpu') {
    throw new UsageError(
      `profile: got a model on ${device}, expected one on the CPU. A GPU works beside the program, so that the time of a call says nothing of it.`,
    );
  }
  const restore = rememberModes(model);
  try {
    const inference = inferenceOf(model, { batch, precision, seed }, name);
    const found: PassProfile[] = [];
    try {
      found.push(average(inference, passes, { model: name, batch, pass: 'inference' }));
    } finally {
      inference.end();
    }
    if (precision !== 'fp32') return found;
    const training = trainingOf(model, { batch, seed });
    try {
      found.push(average(training, passes, { model: name, batch, pass: 'training' }));
    } catch (error) {
      if (!(error instanceof SingleValueError)) throw error;
    } finally {
      training.end();
    }
    return found;
  } finally {
    restore();
  }
}

/** The phases of one pass, in their order, and what is done after the last pass. */
interface Pass {
  readonly phases: readonly (readonly [ProfiledPhase, () => void])[];
  end(): void;
}

type Images = Required<Pick<ProfileOptions, 'batch' | 'seed'>>;

function imagesOf(model: ImageModel, { batch, seed }: Images): Tensor {
  const { channels, imageSize } = model.config;
  return randn([batch, channels, imageSize, imageSize], { generator: new Generator(seed) });
}

function inferenceOf(
  model: ImageModel,
  { precision, ...given }: Images & { readonly precision: ResolvedInferencePrecision },
  name: string,
): Pass {
  model.eval();
  const prepared = prepareInference(model, 'cpu', precision, name);
  const images = scope(() => imagesOf(model, given).to(imageType(prepared.imagePrecision)).keep());
  const forward = (): void => {
    prepared.run(() => {
      noGrad(() => model.forward(images));
    });
  };
  return {
    phases: [['forward', forward]],
    end: () => {
      images.dispose();
      prepared.dispose();
    },
  };
}

function trainingOf(model: ImageModel, given: Images): Pass {
  model.train();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0 });
  const images = imagesOf(model, given).keep();
  const labels = randint(0, model.config.numClasses, [given.batch]).keep();
  let loss: Tensor | undefined;
  return {
    phases: [
      ['forward', () => void (loss = F.crossEntropy(model.forward(images), labels))],
      ['backward', () => loss?.backward()],
      [
        'optimizer',
        () => {
          optimizer.step();
          optimizer.zeroGrad();
        },
      ],
    ],
    end: () => {
      images.dispose();
      labels.dispose();
      optimizer.dispose();
    },
  };
}

function average(
  { phases }: Pass,
  passes: number,
  what: Pick<PassProfile, 'model' | 'batch' | 'pass'>,
): PassProfile {
  const sums = new Map<string, { phase: ProfiledPhase; name: string; calls: number; ms: number }>();
  const add = (phase: ProfiledPhase, name: string, calls: number, ms: number): void => {
    const key = `${phase} ${name}`;
    const sum = sums.get(key) ?? { phase, name, calls: 0, ms: 0 };
    sums.set(key, { ...sum, calls: sum.calls + calls, ms: sum.ms + ms });
  };
  for (let pass = -warmup; pass < passes; pass++) {
    scope(() => {
      for (const [phase, work] of phases) {
        const { ms, operators } = profileOperators(work);
        if (pass < 0) continue;
        for (const { name, calls, ms: own } of operators) add(phase, name, calls, own);
        const within = operators.reduce((sum, operator) => sum + operator.ms, 0);
        add(phase, outsideOfOperators, 1, ms - within);
      }
    });
  }
  const all = [...sums.values()].sort((a, b) => b.ms - a.ms);
  const ms = all.reduce((sum, part) => sum + part.ms, 0) / passes;
  const parts = all.map((part) => ({
    ...part,
    calls: part.calls / passes,
    ms: part.ms / passes,
    share: ms > 0 ? part.ms / passes / ms : 0,
  }));
  return { ...what, ms, parts };
}
