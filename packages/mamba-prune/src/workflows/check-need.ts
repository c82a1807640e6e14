// Whether the machine can do what was asked for, before data are opened or a model is made.
import type { Dataset } from '../data/types.js';
import { checkBatchNeed, checkNeed } from '../memory-need.js';
import { checkModelOptions, familyOf, modelOptionNames } from '../models/families.js';
import { checkModelNeed, denseConfig } from '../models/dense-config.js';
import type { ImageModel } from '../models/image-model.js';
import type { RunControl, TrainSettings } from './settings.js';

/**
 * The least that a new model can need, for what the data say of it is not known yet: one channel, one
 * class, one patch.
 * @throws TooLargeError if the machine has not enough memory for it; UsageError for sizes that do not fit together
 */
export function checkNewModel(
  { arch, model, recipe, init }: TrainSettings,
  device: string | undefined,
): void {
  if (init !== undefined) return;
  checkModelOptions(arch, model);
  // Without its shapes nothing can be counted, and which small images it takes only its family knows.
  if (!familyOf(arch).shapes) return;
  const hasPatches = modelOptionNames(arch).includes('patchSize');
  const side = hasPatches ? (model.patchSize ?? 1) : 32;
  const patch = hasPatches ? { patchSize: side } : {};
  const config = denseConfig(arch, {
    ...model,
    ...patch,
    channels: 1,
    numClasses: 1,
    imageSize: side,
  });
  // Weights, gradients, and what the optimizer keeps: AdamW two moments, the others at least one.
  const moments = (recipe.optimizer ?? 'adamw') === 'adamw' ? 2 : 1;
  checkModelNeed(config, onCpu(device) ? 2 + moments : 1);
}

/**
 * The least that a step can need: the images, and of models that see patches what two branches of every
 * block keep for the gradients.
 * @throws TooLargeError if the machine has not enough memory for it
 */
export function checkBatch(
  { config }: ImageModel,
  { info, train }: Dataset,
  batchSize: number,
  { device, resume = false }: Pick<RunControl, 'device' | 'resume'>,
): void {
  const images = Math.min(batchSize, train.length);
  const advice =
    resume === false
      ? 'Give fewer images per step (`batchSize`).'
      : 'A run that has begun keeps its batch size. Go on where there is more memory, or begin a new run with fewer ' +
        'images per step (`batchSize`).';
  checkBatchNeed('train', images, [info.channels, info.height, info.width], advice);
  if (!onCpu(device)) return;
  // bfloat16 at least.
  const bytes = 2 * images * keptNumbers(config, info.height);
  checkNeed('train', `${images} images per step for ${config.arch}`, bytes, advice);
}

/**
 * The least that the training step of `bench --profile` can need, float32 with AdamW: weights, gradients and two moments, the
 * images, and what `checkBatch` counts of the blocks.
 * @throws TooLargeError if the machine has not enough memory for it
 */
export function checkProfiledStep(model: ImageModel, images: number): void {
  const { config } = model;
  const { arch, channels, imageSize } = config;
  const each = channels * imageSize ** 2 + keptNumbers(config, imageSize);
  checkNeed(
    'bench',
    `${images} images per training step for ${arch}`,
    4 * (4 * model.numParameters() + images * each),
    'Give fewer (`batches`), or do not profile.',
  );
}

/** For each image; 0 for models of unknown shape. */
function keptNumbers(config: object, side: number): number {
  if (!('dModel' in config && 'depth' in config && 'patchSize' in config)) return 0;
  const { dModel, depth, patchSize } = config;
  if (typeof dModel !== 'number' || typeof depth !== 'number') return 0;
  if (typeof patchSize !== 'number') return 0;
  return (side / patchSize) ** 2 * dModel * 2 * depth;
}

const onCpu = (device = 'cpu'): boolean => device === 'cpu';
