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
  help: 'resample the positions, where the file has them for images of another size',
};

/** Sizes of an SSM before pruning. */
export const dState: ModelOption = {
  values: count(modelLimits.dState),
  flag: '--d-state <n>',
  help: 'number of states per SSM channel',
  label: 'd_state',
};
export const dConv: ModelOption = { values: count(modelLimits.dConv), label: 'd_conv' };
export const expand: ModelOption = { values: count(modelLimits.expand), label: 'expand' };

/** What can be cut in an SSM. */
export const ssmKinds = {
  ssm: {
    units: 'SSM channels',
    label: { en: 'SSM channels', zh: 'SSM 通道' },
    rateFlag: '--ssm-rate',
  },
  state: {
    units: 'SSM states',
    label: { en: 'SSM states', zh: 'SSM 状态' },
    rateFlag: '--state-rate',
    optional: true,
  },
  dt_rank: {
    units: "step sizes' rank",
    label: { en: 'Step-size rank', zh: '步长的秩' },
    rateFlag: '--dt-rank-rate',
    optional: true,
  },
} as const;

/** Neurons of the MLP of a block. */
export const mlpKind = {
  units: 'MLP neurons',
  label: { en: 'MLP neurons', zh: 'MLP 神经元' },
  rateFlag: '--mlp-rate',
} as const;

/** Channels of the first stage of a network whose stages double them. */
export const baseWidth: ModelOption = {
  values: count(modelLimits.baseWidth),
  flag: '--base-width <n>',
  help: 'channels of the first stage, which double from stage to stage',
  label: 'base_width',
};

/** Depth of a network of stages. */
export const stageBlocks: ModelOption = {
  values: { type: 'integers', min: 1, max: modelLimits.depth },
  flag: '--blocks <n,n,...>',
  help: 'number of blocks of each stage',
  label: 'blocks',
};
