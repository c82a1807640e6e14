// VMamba: what the program knows of it.
import {
  baseWidth,
  dState,
  expand,
  imageOptions,
  mlpKind,
  mlpRatio,
  ssmKinds,
  stageBlocks,
} from '../common-options.js';
import type { Family } from '../family.js';
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
import { vmambaPublished } from './published.js';
import { vmambaShapes } from './shapes.js';

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
    baseWidth,
    blocks: stageBlocks,
    dState,
    expand,
    mlpRatio,
    ...imageOptions,
  },
  kinds: {
    ssm: ssmKinds.ssm,
    mlp: mlpKind,
  },
  denseConfig: (arch, options) => vmambaConfig(arch as VMambaArchitecture, options),
  checkConfig: checkVMambaConfig,
  create: (config) => new VMamba(config),
  shapes: vmambaShapes,
  macs: vmambaMacs,
  layout: vmambaLayout,
  published: vmambaPublished,
  onnx: {
    build: (config, layers, image, { scanOp }) => vmambaGraph(config, layers, image, scanOp),
    scans: true,
  },
};
