// The vision transformer: what the program knows of it.
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
  type VitArchitecture,
  type VitConfig,
  checkVitConfig,
  vitArchitectures,
  usualVit,
  vitConfig,
} from './config.js';
import { vitLayout } from './import.js';
import { vitMacs } from './macs.js';
import { VisionTransformer } from './model.js';
import { vitGraph } from './onnx.js';
import { vitPublished } from './published.js';
import { vitShapes } from './shapes.js';

export const vitFamily: Family<VitConfig> = {
  name: 'vit',
  title: 'ViT',
  architectures: vitArchitectures,
  options: {
    patchSize,
    dModel,
    depth,
    heads: {
      values: count(modelLimits.heads),
      flag: '--heads <n>',
      help: 'number of attention heads before pruning',
      whenRead: 'as --arch',
      label: 'heads',
    },
    mlpRatio,
    ...imageOptions,
  },
  kinds: {
    heads: {
      units: 'attention heads',
      label: { en: 'Attention heads', zh: '注意力头' },
      rateFlag: '--heads-rate',
    },
    mlp: mlpKind,
  },
  usual: usualVit,
  denseConfig: (arch, options) => vitConfig(arch as VitArchitecture, options),
  checkConfig: checkVitConfig,
  create: (config) => new VisionTransformer(config),
  shapes: vitShapes,
  macs: vitMacs,
  layout: vitLayout,
  published: vitPublished,
  onnx: { build: vitGraph },
};
