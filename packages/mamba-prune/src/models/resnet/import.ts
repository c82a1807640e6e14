// ResNets of torchvision and timm, of Hugging Face, and those for CIFAR of kuangliu, akamaster and weiaicunzai, dense or
// pruned, in the one form that model.ts has.
import { FormatError, type Tensor, eye, noGrad, ones, zeros } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { Layout, LayoutOptions, Reading } from '../import/layout.js';
import { resnetCard } from './card.js';
import { foldBiases } from './import-biases.js';
import { resnetClassifiers, resnetNamesOf, resnetRefusals, resnetRenames } from './import-names.js';
import { ShapeReader, missingClassifier } from '../import/shapes.js';
import { StateDict } from '../import/state-dict.js';
import { UntoldError, orUntold } from '../import/untold.js';
import {
  type ResNetConfig,
  blockName,
  denseResNetWidths,
  expansions,
  stageWidth,
} from './config.js';
import { isMeanOfAll, resnetFunctions, tellsFunctions } from './modules.js';

export const resnetLayout: Layout = {
  programs: 'a ResNet of torchvision, timm, Hugging Face, kuangliu or weiaicunzai',

  telling: ['blocks', 'baseWidth'],

  options: {
    shortcutPadding: {
      values: { type: 'choice', choices: ['both', 'end'] },
      flag: '--shortcut-padding <where>',
      help: 'where shortcuts without parameters (option A) have their channels of zeros',
      whenRead: 'both where the names are those of kuangliu, else asked for',
    },
  },

  card: resnetCard,

  isIdleBehind: (module, config) => isMeanOfAll(module, config as ResNetConfig),

  functions: (modules, config) => resnetFunctions(modules, config as ResNetConfig),

  classifier: (shapes) => ({
    name: 'fc',
    own: resnetClassifiers[resnetNamesOf(shapes) ?? 'torchvision'],
  }),

  recognises: (shapes) => resnetNamesOf(shapes) !== undefined,

  read(tensors, options, _args, modules): Reading {
    const state = new StateDict(tensors);
    const names = resnetNamesOf(state.shapes) ?? 'torchvision';
    // Its first convolution has the name that a deep stem has elsewhere.
    if (names !== 'weiaicunzai') state.refuse('ResNet', resnetRefusals);
    const renamed = state.rename(resnetRenames[names]);
    if (names === 'a Sequential of the layers') state.refuse('ResNet', resnetRefusals);
    refuseOtherBlocks(state);
    if (renamed > 0) {
      state.note(
        names === 'torchvision'
          ? 'The classifier, which had a number, was given its plain name fc.'
          : `The names of ${names} were turned into those of torchvision, which the models here have.`,
      );
    }
    if (!state.has('fc.weight')) throw missingClassifier('fc.weight', state.shapes);
    state.addZeroBiases(['fc'], 'classifier');
    foldBiases(state);
    const reader = new ShapeReader('resnet', state.shapes);
    const block = reader.has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic';
    const blocks: number[] = [];
    for (let count; (count = reader.count(`layer${blocks.length + 1}`)) > 0;) blocks.push(count);
    const baseWidth = reader.size('conv1.weight', 0, 4);
    refuseGroups(reader, block);
    refuseStream(reader, { block, blocks, baseWidth });
    const stem = stemOf(reader);
    const sizes = {
      block,
      blocks,
      baseWidth,
      stem,
      channels: reader.size('conv1.weight', 1, 4),
      numClasses: reader.size('fc.weight', 0, 2),
    } as const;
    const shortcuts = orUntold(() => addShortcuts(state, sizes, names === 'kuangliu', options));
    if (!tellsFunctions(modules)) state.note(untold(block, stem));
    return {
      sizes,
      tensors: state.tensors,
      notes: state.notes,
      config(arch, said) {
        if (shortcuts instanceof UntoldError) throw shortcuts;
        // Convolutions fit images of every size, so no shape tells it.
        const imageSize = said.imageSize ?? (stem === 'cifar' ? 32 : 224);
        const widths = Object.fromEntries(
          Object.keys(denseResNetWidths(sizes)).map((group) => [
            group,
            reader.size(`${group}.weight`, 0, 4),
          ]),
        );
        const dropPath = said.dropPath ?? 0;
        return {
          config: { family: 'resnet', arch, ...sizes, imageSize, dropPath, widths },
          assumed: [
            ...shortcuts,
            ...(said.imageSize === undefined ? [`imageSize ${imageSize}`] : []),
          ],
          notes: [],
        };
      },
    };
  },
};

/** What shapes do not tell, in one sentence, so that whoever has such a model knows. */
function untold(block: 'basic' | 'bottleneck', stem: 'cifar' | 'imagenet'): string {
  const strides =
    block === 'bottleneck'
      ? 'strides in the 3x3 convolution of a bottleneck (not in its first 1x1), '
      : '';
  const pooling =
    stem === 'cifar'
      ? 'no stride in the first convolution and no max pooling behind it'
      : 'max pooling behind the first convolution';
  return `Taken as usual, for no shape tells it: ${strides}${pooling}, no pooling against aliasing, no dilation, the mean over all pixels at the end, ReLU, BatchNorm's eps of 1e-5.`;
}

function stemOf(reader: ShapeReader): 'cifar' | 'imagenet' {
  const kernel = reader.size('conv1.weight', 2, 4);
  if (kernel === 3) return 'cifar';
  if (kernel === 7) return 'imagenet';
  throw new FormatError(
    `import: got a first convolution of ${kernel}x${kernel}, expected 3x3 (CIFAR) or 7x7 (ImageNet)`,
  );
}

/** Blocks whose parameters have the usual names, and which compute something else. */
function refuseOtherBlocks(state: StateDict): void {
  const hasStemNorm = state.has('bn1.weight');
  if (state.has('conv1.weight') && !hasStemNorm && state.has('layer1.0.bn1.weight')) {
    throw new FormatError(
      "import: got weights without 'bn1', the norm behind the first convolution, expected a ResNet that has it: blocks that normalise " +
        'before they convolve (pre-activation) are not known here.',
    );
  }
  if (hasStemNorm && !state.has('bn1.running_mean')) {
    throw new FormatError(
      "import: got 'bn1.weight' without 'bn1.running_mean', expected BatchNorm with its statistics: GroupNorm, and a BatchNorm that keeps " +
        'none, are not known here.',
    );
  }
}

/** Grouped convolutions have fewer input channels than the layer before has outputs. */
function refuseGroups(reader: ShapeReader, block: 'basic' | 'bottleneck'): void {
  const name = 'layer1.0.conv2.weight';
  const before = reader.size('layer1.0.conv1.weight', 0, 4);
  const [outputs, inputs] = [reader.size(name, 0, 4), reader.size(name, 1, 4)];
  if (outputs !== before || inputs >= before || before % inputs !== 0) return;
  throw new FormatError(
    `import: got '${name}' with ${inputs} input channels behind ${before}: a convolution in ${before / inputs} groups (ResNeXt), expected ` +
      `a ${block} block without groups.`,
  );
}

/** Channels between blocks: every stage has twice as many as the one before, and pruning here leaves them. */
function refuseStream(reader: ShapeReader, { block, blocks, baseWidth }: Stages): void {
  const last = block === 'basic' ? 'conv2' : 'conv3';
  blocks.forEach((_, stage) => {
    const name = `${blockName(stage, 0)}.${last}.weight`;
    const [got, expected] = [
      reader.size(name, 0, 4),
      stageWidth(baseWidth, stage) * expansions[block],
    ];
    if (got === expected) return;
    throw new FormatError(
      `import: got '${name}' with ${got} output channels, expected ${expected}: ${baseWidth} of the first convolution, doubled in every stage` +
        `${block === 'basic' ? '' : ', times 4'}. Networks whose residual stream was pruned to other widths are not known here.`,
    );
  });
}

interface Stages {
  readonly block: 'basic' | 'bottleneck';
  readonly blocks: readonly number[];
  readonly baseWidth: number;
}

/**
 * Shortcuts without parameters (He et al. 2016, option A): every second row and column, and channels of zeros. They are
 * what a 1x1 convolution with the identity among zeros and a BatchNorm that changes nothing compute.
 * @returns what was assumed
 */
function addShortcuts(
  state: StateDict,
  { block, blocks, baseWidth }: Stages,
  isKuangliu: boolean,
  { shortcutPadding: said }: LayoutOptions,
): string[] {
  const firsts = blocks.map((_, stage) => blockName(stage, 0)).slice(1);
  const hasShortcuts = state.names().some((name) => /\.downsample\./.test(name));
  if (block !== 'basic' || hasShortcuts || firsts.length === 0) {
    if (said === undefined) return [];
    throw new UsageError(
      `import: \`shortcutPadding\`: got '${said}' for a model whose shortcuts ${hasShortcuts ? 'have parameters' : 'are no option A'}. Leave it out.`,
    );
  }
  const padding = said ?? (isKuangliu ? 'both' : undefined);
  if (!(['both', 'end'] as readonly unknown[]).includes(padding)) {
    throw new UntoldError(
      `import: ${padding === undefined ? 'got' : `\`shortcutPadding\`: got '${padding}' for`} a ResNet whose shortcuts have no parameters (option A): no shape tells where their channels of ` +
        "zeros are, on both sides or at the end. Say which with `shortcutPadding`: 'both' or 'end'.",
    );
  }
  firsts.forEach((name, index) => {
    const [from, to] = [index, index + 1].map(
      (stage) => stageWidth(baseWidth, stage) * expansions[block],
    ) as [number, number];
    const before = padding === 'both' ? (to - from) / 2 : 0;
    for (const [part, tensor] of identityShortcut(from, to, before)) {
      state.set(`${name}.downsample.${part}`, tensor);
    }
  });
  state.note(
    `The shortcuts without parameters (option A, with the channels of zeros ${padding === 'both' ? 'on both sides' : 'at the end'}) became 1x1 convolutions at ` +
      'stride 2 with an identity and a BatchNorm that changes nothing, which compute the same; trained on, they are trained too.',
  );
  return said === undefined ? [`shortcutPadding ${padding}`] : [];
}

/** The eps of BatchNorm, which the variance makes up for: 1 / sqrt(variance + eps) = 1. */
const batchNormEps = 1e-5;

/** @param before - channels of zeros before those of the input */
function identityShortcut(from: number, to: number, before: number): Map<string, Tensor> {
  const kernel = zeros([to, from, 1, 1]);
  noGrad(() => {
    kernel.narrow(0, before, from).select(3, 0).select(2, 0).copy_(eye(from));
  });
  return new Map([
    ['0.weight', kernel],
    ['1.weight', ones([to])],
    ['1.bias', zeros([to])],
    ['1.running_mean', zeros([to])],
    ['1.running_var', ones([to]).sub(batchNormEps)],
    ['1.num_batches_tracked', zeros([])],
  ]);
}
