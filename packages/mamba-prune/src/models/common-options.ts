// Options that several families have: one flag each, with one meaning.
import { modelLimits } from '../limits.js';
import type { ModelOption, ModelOptionTable, OptionValues } from './family.js';

/** A whole number over 0. */
export const count = (max: number): OptionValues => ({ type: 'integer', min: 1, max });

/** What every model has. The flags of the first three belong to commands: images are resized to a model. */
export const imageOptions = {
  numClasses: { values: count(modelLimits.numClasses) },
  imageSize: { values: count(modelLimits.imageSize) },
  channels: { values: count(modelLimits.channels) },
  dropPath: {
    values: { type: 'number', min: 0, below: 1 },
    flag: '--drop-path <x>',
    help: 'chance that a sample skips a branch in training',
    whenNew: '0',
  },
} as const satisfies ModelOptionTable;

export const patchSize: ModelOption = {
  values: count(modelLimits.patchSize),
  flag: '--patch <px>',
  help: 'side of a patch',
  whenNew: '4; 8 over 40 px, 16 over 128',
  label: 'patch',
};

export const dModel: ModelOption = {
  values: count(modelLimits.dModel),
  flag: '--d-model <n>',
  help: 'width of the residual stream',
  label: 'd_model',
};

export const depth: ModelOption = {
  values: count(modelLimits.depth),
  flag: '--depth <n>',
  help: 'number of blocks',
  label: 'depth',
};

/** Hidden neurons of an MLP over the width, before pruning. */
export const mlpRatio: ModelOption = { values: count(modelLimits.mlpRatio), label: 'mlp_ratio' };

/** Of a file whose positions are those of another image size. */
export const resamplePositions: ModelOption = {
  values: { type: 'switch' },
  flag: '--resample-positions',
  help: 'resample the positions for --image-size, where the file has them for another size',
};

/** Neurons of the MLP of a block. */
export const mlpKind = {
  units: 'MLP neurons',
  label: { en: 'MLP neurons', zh: 'MLP 神经元' },
  rateFlag: '--mlp-rate',
} as const;
