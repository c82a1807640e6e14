// VMamba as published (names of github.com/MzeroMiko/VMamba), dense or pruned.
import { FormatError } from '@mamba-prune/libtorch';
import type { Layout } from '../import/layout.js';
import { ShapeReader, missingClassifier } from '../import/shapes.js';
import { type Refusal, StateDict } from '../import/state-dict.js';
import {
  blockNames,
  dtRankOf,
  mlpGroup,
  ssmGroup,
  stageWidth,
  vmambaArchitectures,
  vmambaStrides,
} from './config.js';
import { pickledStem, vmambaFunctions } from './modules.js';

const otherMixer = 'a VMamba with another mixer than v05_noz';

const refusals: readonly Refusal[] = [
  [
    /\.self_attention\.(?:A_log|conv1d|x_proj|dt_proj)_\d/,
    'a LocalMamba, which scans within windows too',
  ],
  [
    /\.(?:self_attention|ln_1)\./,
    'a VMamba of the first version, whose blocks have a gate and no MLP',
  ],
  [/^pos_embed$/, 'a VMamba with positions'],
  [/\.op\.conv2d\.bias$/, `${otherMixer}: with a bias of the convolution`],
  [/\.op\.(?:in_proj|out_proj|x_proj)\.bias$|\.op\.x_proj_bias$/, `${otherMixer}: with biases`],
  [/\.op\.out_norm\.\d/, `${otherMixer}: with more than a LayerNorm behind the scans`],
  [/\.op\.(?:in_rank|out_rank)\./, `${otherMixer}: of low rank`],
  [/\.op\.out_norm_/, `${otherMixer}: with more than a LayerNorm behind the scans`],
  [/\.downsample\.(?:reduction|norm)\./, 'a VMamba that merges patches between stages (v1)'],
];

export const vmambaLayout: Layout = {
  programs: 'a VMamba of MzeroMiko/VMamba',

  telling: ['baseWidth', 'blocks', 'dState', 'expand'],

  interpolation: 'bicubic',

  functions: vmambaFunctions,

  classifier: () => ({ name: 'classifier.head', own: /^classifier\.head\./ }),

  recognises: (shapes) =>
    shapes.has('layers.0.blocks.0.op.x_proj_weight') ||
    shapes.has('layers.0.blocks.0.op.in_proj.weight') ||
    shapes.has('layers.0.blocks.0.self_attention.in_proj.weight'),

  read(tensors, _said, _args, modules) {
    const state = new StateDict(tensors);
    state.rename([[/^classifier\.head\.\d+\.(weight|bias)$/, 'classifier.head.$1']]);
    state.refuse('VMamba', refusals);
    flattenLinears(state);
    const reader = new ShapeReader('vmamba', state.shapes);
    const blocks = Array.from({ length: reader.count('layers') }, (_, stage) =>
      reader.count(`layers.${stage}.blocks`),
    );
    if (!state.has('classifier.head.weight'))
      throw missingClassifier('classifier.head.weight', state.shapes);
    state.addZeroBiases(['classifier.head'], 'classifier');
    if (!state.has('patch_embed.5.weight')) {
      throw new FormatError(
        "import: got the weights of a VMamba without 'patch_embed.5.weight', expected a stem of two 3x3 convolutions (patchembed v2): " +
          'one convolution of the patches (v1) is not known here.',
      );
    }
    const baseWidth = reader.size('patch_embed.5.weight', 0, 4);
    const sizes = {
      baseWidth,
      blocks,
      dState: reader.size('layers.0.blocks.0.op.A_logs', 1, 2),
      channels: reader.size('patch_embed.0.weight', 1, 4),
      numClasses: reader.size('classifier.head.weight', 0, 2),
    };
    const names = blockNames(blocks);
    const widths: Record<string, number> = {};
    for (const { name } of names) {
      refuseOtherBlock(reader, name);
      widths[ssmGroup(name)] = reader.size(`${name}.op.out_proj.weight`, 1, 2);
      widths[mlpGroup(name)] = reader.size(`${name}.mlp.fc2.weight`, 1, 2);
    }
    blocks.forEach((_, stage) => {
      refuseOtherWidth(reader, stage, baseWidth);
    });
    const ranks = blocks.map((_, stage) =>
      reader.size(`layers.${stage}.blocks.0.op.dt_projs_weight`, 2, 3),
    );
    const usual = ranks.every((rank, stage) => rank === dtRankOf({ baseWidth }, stage));
    state.note(
      'Taken as usual, for no shape tells it: scans of the rows, of the columns and of both reversed, in this order, strides of 2 in the ' +
        "convolutions between stages, GELU in the MLP, LayerNorm's eps of 1e-5.",
    );
    return {
      sizes,
      tensors: state.tensors,
      notes: state.notes,
      config(arch, options) {
        const known = vmambaArchitectures as Readonly<Record<string, { stemStride: number }>>;
        const told = modules && pickledStem(modules);
        const stemStride =
          options.stemStride ?? told ?? known[arch]?.stemStride ?? vmambaStrides[2];
        const imageSize = options.imageSize ?? (stemStride === 4 ? 224 : 32);
        const { dropPath = 0 } = options;
        return {
          config: {
            family: 'vmamba',
            arch,
            ...sizes,
            stemStride,
            imageSize,
            dropPath,
            ...(usual ? {} : { dtRanks: ranks }),
            widths,
          },
          // Convolutions fit images of every size, and the stem's strides are in no weight.
          assumed: [
            ...(options.imageSize === undefined ? [`imageSize ${imageSize}`] : []),
            ...(options.stemStride === undefined && told === undefined
              ? [`stemStride ${stemStride}`]
              : []),
          ],
          notes: [],
        };
      },
    };
  },
};

/** Some versions have their linear layers as convolutions of kernel 1. */
function flattenLinears(state: StateDict): void {
  const linear = /\.(?:in_proj|out_proj|fc1|fc2|head)\.weight$/;
  const found = state.names().filter((name) => {
    const shape = state.get(name)?.shape ?? [];
    return linear.test(name) && shape.length === 4 && shape[2] === 1 && shape[3] === 1;
  });
  for (const name of found) {
    const tensor = state.get(name);
    if (tensor) state.set(name, tensor.detach().flatten(1));
  }
  if (found.length > 0) {
    state.note(
      `${found.length} weights of linear layers were stored as convolutions of kernel 1; they were read as matrices.`,
    );
  }
}

/** @throws FormatError for a block that has the usual names, and computes something else */
function refuseOtherBlock(reader: ShapeReader, name: string): void {
  const scans = reader.size(`${name}.op.x_proj_weight`, 0, 3);
  if (scans !== 4) {
    throw new FormatError(
      `import: got '${name}.op.x_proj_weight' of ${scans} scans, expected 4: rows, columns, and both reversed.`,
    );
  }
  const inner = reader.size(`${name}.op.out_proj.weight`, 1, 2);
  const into = reader.size(`${name}.op.in_proj.weight`, 0, 2);
  if (into !== inner) {
    throw new FormatError(
      `import: got '${name}.op.in_proj.weight' of ${into} rows for ${inner} columns of out_proj, expected as many: ` +
        `${into === 2 * inner ? 'its second half makes a gate, which' : 'such a block'} is not known here (the published models v05_noz have none).`,
    );
  }
  const [hidden, back] = [
    reader.size(`${name}.mlp.fc1.weight`, 0, 2),
    reader.size(`${name}.mlp.fc2.weight`, 1, 2),
  ];
  if (hidden !== back) {
    throw new FormatError(
      `import: got '${name}.mlp.fc1.weight' of ${hidden} rows for ${back} columns of fc2, expected as many: ` +
        'an MLP with a gate (gmlp) is not known here.',
    );
  }
}

/** @throws FormatError unless every stage has twice the width of the one before */
function refuseOtherWidth(reader: ShapeReader, stage: number, baseWidth: number): void {
  const name = `layers.${stage}.blocks.0.norm.weight`;
  const [got, expected] = [reader.size(name, 0, 1), stageWidth(baseWidth, stage)];
  if (got === expected) return;
  throw new FormatError(
    `import: got '${name}' of ${got} channels, expected ${expected}: ${baseWidth} of the stem, doubled in every stage. ` +
      'Networks with other widths of their residual stream are not known here.',
  );
}
