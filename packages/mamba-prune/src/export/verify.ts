// Whether an ONNX model computes what the model it was made from does.
import { F, fromTypedArray, noGrad, scope } from '@mamba-prune/libtorch';
import { BatchMaker } from '../data/batch.js';
import { Random, Stage } from '../data/random.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { rememberModes } from '../models/modes.js';
import { OnnxModel } from './onnx-model.js';
import type { SessionOptions } from './runtime.js';
import { type Precision, isRounded, precisionName, toleranceOf } from './tolerance.js';

/** An exported model does not compute what it should. */
export class VerificationError extends Error {
  override readonly name = 'VerificationError';
}

export interface Verification {
  /** Images compared. */
  readonly images: number;
  /** Largest difference of two logits. */
  readonly maxDifference: number;
  /** Largest absolute logit of the original. */
  readonly maxLogit: number;
  /** Share of images with the same likeliest class. */
  readonly agreement: number;
}

/**
 * The logits of a model for planar pixels.
 * @param pixels - uint8 [batch, channels, height, width]
 * @returns [batch, classes]
 */
export function ownLogits(model: ImageModel, info: ModelInfo, pixels: Uint8Array): Float32Array {
  const { channels, imageSize: side } = model.config;
  const batch = pixels.length / (channels * side * side);
  const maker = new BatchMaker({
    info: { ...info, channels: channels as 1 | 3, height: side, width: side, classes: 0 },
    augment: undefined,
    seed: 0,
    cropped: false,
  });
  const { images } = maker.make({
    pixels,
    indices: new Uint32Array(batch),
    labels: new Int32Array(batch),
    epoch: 0,
    index: 0,
  });
  const restoreModes = rememberModes(model);
  model.eval();
  try {
    const logits = scope(() =>
      noGrad(() =>
        F.atLeastFloat32(
          model.forward(fromTypedArray(images, [batch, channels, side, side])),
        ).toTypedArray(),
      ),
    );
    return logits as Float32Array;
  } finally {
    restoreModes();
  }
}

/**
 * Runs an ONNX model on the images, all at once and the first alone, and compares.
 * @param bytes - the file
 * @param expected - the original's logits, [batch, classes]
 * @param pixels - uint8 [batch, channels, height, width]
 * @param precision - of the file, which decides how near its logits must be
 * @throws VerificationError if a logit differs by more than the tolerance, or the original's is no number; FormatError if the runtime
 *   cannot load it
 */
export async function verifyOnnx(
  bytes: Uint8Array,
  expected: Float32Array,
  pixels: Uint8Array,
  precision: Precision = {},
  session: SessionOptions = {},
): Promise<Verification> {
  if (!expected.every(Number.isFinite)) {
    throw new VerificationError(
      'ONNX export: the model itself gives logits that are NaN or infinite, before any export, expected numbers: ' +
        'a value inside it is too large for float32. No file was written. Train the model again.',
    );
  }
  const tolerance = toleranceOf(precision);
  const onnx = await OnnxModel.load(bytes, session, 'ONNX export');
  try {
    const classes = onnx.description.model.numClasses;
    const perImage = onnx.inputShape.reduce((product, size) => product * size, 1);
    const { logits } = await onnx.classify(pixels);
    const alone = await onnx.classify(pixels.slice(0, perImage));
    const compared = [
      differencesOf(logits, expected, classes),
      differencesOf(alone.logits, expected.subarray(0, classes), classes),
    ];
    for (const result of compared) {
      const limit = tolerance * result.maxLogit;
      if (result.maxDifference <= limit) continue;
      throw new VerificationError(
        `ONNX export: the exported model (${precisionName(precision)}) gives other logits than the original: ` +
          `they differ by up to ${result.maxDifference.toPrecision(3)} in ${result.images} images, ` +
          `expected at most ${limit.toPrecision(3)}. No file was written. ` +
          (isRounded(precision)
            ? 'The model does not bear so few bits: export it in float32.'
            : 'This is an error of the export or of the runtime; please report it.'),
      );
    }
    return compared[0] as Verification;
  } finally {
    await onnx.release();
  }
}

/** Differences of logits [images, classes]; those that are no numbers count as infinite. */
function differencesOf(got: Float32Array, expected: Float32Array, classes: number): Verification {
  const images = expected.length / classes;
  let maxDifference = got.length === expected.length ? 0 : Infinity;
  let maxLogit = 0;
  expected.forEach((value, i) => {
    const difference = Math.abs(value - (got[i] ?? NaN));
    maxDifference = Math.max(maxDifference, Number.isNaN(difference) ? Infinity : difference);
    maxLogit = Math.max(maxLogit, Math.abs(value));
  });
  let same = 0;
  for (let i = 0; i < images; i++) {
    const row = [i * classes, (i + 1) * classes] as const;
    same += Number(argmax(got.subarray(...row)) === argmax(expected.subarray(...row)));
  }
  return { images, maxDifference, maxLogit, agreement: same / images };
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if ((values[i] as number) > (values[best] as number)) best = i;
  }
  return best;
}

/**
 * Images for where no data set is at hand: noise over soft waves, the same every time.
 * @returns uint8 [count, channels, side, side]
 */
export function syntheticImages(
  count: number,
  { channels, imageSize: side }: Pick<ImageModel['config'], 'channels' | 'imageSize'>,
): Uint8Array {
  const random = new Random();
  const pixels = new Uint8Array(count * channels * side * side);
  for (let image = 0, at = 0; image < count; image++) {
    random.seed(0, Stage.split, 0, image);
    for (let channel = 0; channel < channels; channel++) {
      const [across, down, phase] = [0, 0, 0].map(() => random.between(0, 12)) as [
        number,
        number,
        number,
      ];
      for (let i = 0; i < side * side; i++) {
        const wave = Math.sin((across * (i % side) + (down * i) / side) / side + phase);
        pixels[at++] = 128 + 80 * wave + random.between(-47, 47);
      }
    }
  }
  return pixels;
}
