// Vim: what the program knows of it.
import { modelLimits } from '../../limits.js';
import {
  count,
  dConv,
  dModel,
  dState,
  depth,
  expand,
  imageOptions,
  patchSize,
  ssmKinds,
} from '../common-options.js';
import type { Family } from '../family.js';
import {
  type VimArchitecture,
  type VimConfig,
  checkVimConfig,
  vimArchitectures,
  vimConfig,
} from './config.js';
import { vimLayout } from './import.js';
import { vimMacs } from './macs.js';
import { Vim } from './model.js';
import { vimGraph } from './onnx.js';
import { vimPublished } from './published.js';
import { vimShapes } from './shapes.js';

export const vimFamily: Family<VimConfig> = {
  name: 'vim',
  title: 'Vim',
  architectures: vimArchitectures,
  options: {
    patchSize,
    stride: {
      values: count(modelLimits.patchSize),
      flag: '--stride <px>',
      help: 'pixels from one patch to the next: patches overlap where it is less than the patch',
      whenNew: 'the patch',
      whenRead: 'as the number of positions says',
      label: 'stride',
    },
    dModel,
    depth,
    dState,
    dConv,
    expand,
    ...imageOptions,
  },
  kinds: ssmKinds,
  denseConfig: (arch, options) => vimConfig(arch as VimArchitecture, options),
  checkConfig: checkVimConfig,
  create: (config) => new Vim(config),
  shapes: vimShapes,
  macs: vimMacs,
  layout: vimLayout,
  published: vimPublished,
  onnx: {
    build: (config, layers, image, { scanOp }) => vimGraph(config, layers, image, scanOp),
    scans: true,
  },
};
