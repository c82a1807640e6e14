// VMamba: what the program knows of it.
import { modelLimits } from '../../limits.js';
import { count, imageOptions, mlpKind, mlpRatio } from '../common-options.js';
import type { Family } from '../family.js';
import { mambaFamily } from '../mamba/family.js';
import { resnetFamily } from '../resnet/family.js';
import {
  type VMambaArchitecture,
  type VMambaConfig,
  checkVMambaConfig,
  vmambaArchitectures,
  vmambaConfig,
} from './config.js';
import { vmambaLayout } from './import.js';
import { vmambaMacs } from './macs.js';
import { VMamba } from './model.js';
import { vmambaGraph } from './onnx.js';
import { vmambaShapes } from './shapes.js';

const { dState, expand } = mambaFamily.options;
const { baseWidth, blocks } = resnetFamily.options;

export const vmambaFamily: Family<VMambaConfig> = {
  name: 'vmamba',
  title: 'VMamba',
  architectures: vmambaArchitectures,
  options: {
    stemStride: {
      values: { type: 'integer', min: 1, max: 4 },
      flag: '--stem-stride <n>',
      help: 'pixels per side that the stem makes one position of: 1, 2 or 4',
      whenRead: 'as --arch',
      label: 'stem_stride',
    },
    baseWidth: baseWidth ?? { values: count(modelLimits.baseWidth) },
    blocks: blocks ?? { values: { type: 'integers', min: 1, max: modelLimits.depth } },
    dState: dState ?? { values: count(modelLimits.dState) },
    expand: expand ?? { values: count(modelLimits.expand) },
    mlpRatio,
    ...imageOptions,
  },
  kinds: {
    ssm: {
      units: 'SSM channels',
      label: { en: 'SSM channels', zh: 'SSM 通道' },
      rateFlag: '--ssm-rate',
    },
    mlp: mlpKind,
  },
  denseConfig: (arch, options) => vmambaConfig(arch as VMambaArchitecture, options),
  checkConfig: checkVMambaConfig,
  create: (config) => new VMamba(config),
  shapes: vmambaShapes,
  macs: vmambaMacs,
  layout: vmambaLayout,
  onnx: {
    build: (config, layers, image, { scanOp }) => vmambaGraph(config, layers, image, scanOp),
    scans: true,
  },
};
