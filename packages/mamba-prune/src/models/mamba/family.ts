// The vision Mamba: what the program knows of it.
import { modelLimits } from '../../limits.js';
import {
  count,
  dModel,
  depth,
  imageOptions,
  mlpKind,
  mlpRatio,
  patchSize,
} from '../common-options.js';
import type { Family } from '../family.js';
import {
  type MambaArchitecture,
  type MambaConfig,
  checkMambaConfig,
  mambaArchitectures,
  mambaConfig,
} from './config.js';
import { mambaLayout } from './import.js';
import { mambaMacs } from './macs.js';
import { VisionMamba } from './model.js';
import { mambaGraph } from './onnx.js';
import { scanModes } from './scan-order.js';
import { mambaShapes } from './shapes.js';

export const mambaFamily: Family<MambaConfig> = {
  name: 'mamba',
  title: 'Mamba',
  architectures: mambaArchitectures,
  options: {
    scan: {
      values: { type: 'choice', choices: scanModes },
      flag: '--scan <way>',
      help: 'scan the patches in one direction, in both, or in four by turns',
      whenNew: 'uni',
      whenRead: 'bi if the shapes say so, else asked for',
      label: 'scan',
    },
    patchSize,
    dModel,
    depth,
    dState: {
      values: count(modelLimits.dState),
      flag: '--d-state <n>',
      help: 'number of states per SSM channel',
      label: 'd_state',
    },
    dConv: { values: count(modelLimits.dConv), label: 'd_conv' },
    expand: { values: count(modelLimits.expand), label: 'expand' },
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
  },
  denseConfig: (arch, options) => mambaConfig(arch as MambaArchitecture, options),
  checkConfig: checkMambaConfig,
  create: (config) => new VisionMamba(config),
  shapes: mambaShapes,
  macs: mambaMacs,
  layout: mambaLayout,
  onnx: {
    build: (config, layers, image, { scanOp }) => mambaGraph(config, layers, image, scanOp),
    scans: true,
  },
  summary: ({ scan }) => ({ scan }),
};
