// The vision Mamba: what the program knows of it.
import {
  dConv,
  dModel,
  dState,
  depth,
  expand,
  imageOptions,
  mlpKind,
  mlpRatio,
  patchSize,
  ssmKinds,
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
    dState,
    dConv,
    expand,
    mlpRatio,
    ...imageOptions,
  },
  kinds: {
    ssm: ssmKinds.ssm,
    mlp: mlpKind,
    state: ssmKinds.state,
    dt_rank: ssmKinds.dt_rank,
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
