// The residual network: what the program knows of it.
import { baseWidth, imageOptions, stageBlocks } from '../common-options.js';
import type { Family } from '../family.js';
import {
  type ResNetArchitecture,
  type ResNetConfig,
  checkResNetConfig,
  resnetArchitectures,
  resnetConfig,
  resnetStems,
} from './config.js';
import { resnetLayout } from './import.js';
import { resnetMacs } from './macs.js';
import { ResNet } from './model.js';
import { resnetGraph } from './onnx.js';
import { resnetPublished } from './published.js';
import { resnetShapes } from './shapes.js';

export const resnetFamily: Family<ResNetConfig> = {
  name: 'resnet',
  title: 'ResNet',
  architectures: resnetArchitectures,
  options: {
    stem: {
      values: { type: 'choice', choices: resnetStems },
      flag: '--stem <kind>',
      help: 'first layers, for small images or for those of ImageNet',
      whenNew: 'by image size',
      label: 'stem',
    },
    baseWidth,
    blocks: stageBlocks,
    ...imageOptions,
  },
  kinds: {
    channels: {
      units: 'ResNet channels',
      label: { en: 'Convolution channels', zh: '卷积通道' },
      rateFlag: '--channels-rate',
    },
  },
  // Ahead of taylor at equal MACs: docs/methods.md, "Which importance", has the measurement.
  importance: 'obd',
  denseConfig: (arch, options) => resnetConfig(arch as ResNetArchitecture, options),
  checkConfig: checkResNetConfig,
  create: (config) => new ResNet(config),
  shapes: resnetShapes,
  macs: resnetMacs,
  layout: resnetLayout,
  published: resnetPublished,
  onnx: { build: resnetGraph, isConvolutional: true },
};
