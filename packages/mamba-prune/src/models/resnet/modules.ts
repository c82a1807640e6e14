// What the modules of a pickled ResNet compute that have no weights: its poolings, and the functions between its layers.
import { printableLine } from '../../printable.js';
import type { ModelModules } from '../import/layout.js';
import type { ModuleProblem } from '../import/module-layers.js';
import { type PlacedModule, classOf, isOfLibrary } from '../import/module-place.js';
import type { ResNetConfig } from './config.js';
import { lastSide } from './macs.js';

/** Nothing in inference, or what every ResNet has. */
const usual =
  /^(?:Identity|Dropout\w*|DropPath|DropBlock2d|StochasticDepth|Flatten|ReLU|Sequential|ModuleList|ModuleDict)$/;

/** The pooling behind the first convolution, as torchvision and timm, Hugging Face, and a Sequential of the layers call it. */
const afterStem = /^(?:maxpool|max_pool|(?:resnet\.)?embedder\.pooler|3)$/;

/** In the last blocks of a network; behind them it is the mean over all pixels. */
const inBlock = /^(?:layer\d|conv\d_x|(?:resnet\.)?encoder|[4-7])\./;

/** What stands around the classifier, as torchvision, timm and scripts, and Hugging Face call it. */
const inClassifier = /^(?:fc|head|classifier|linear)(?:\.|$)/;

/** Means over all pixels. */
const means = /^(?:AdaptiveAvgPool2d|FastAdaptiveAvgPool(?:2d)?|SelectAdaptivePool2d)$/;

/** @returns the first module that computes what no ResNet here does */
export function resnetFunctions(
  { functions }: ModelModules,
  config: ResNetConfig,
): ModuleProblem | undefined {
  const { stem } = config;
  for (const placed of functions) {
    const { name, at, module } = placed;
    const kind = classOf(module);
    if (kind === 'MaxPool2d') {
      const problem = maxPoolProblem(placed, stem);
      if (problem !== undefined) return problem;
    } else if (afterStem.test(name) && stem === 'imagenet' && isOfLibrary(module)) {
      const got = kind === 'Identity' ? 'no max pooling' : kindOf(placed);
      return { got: `${got} behind its first convolution`, expected: 'a max pooling there', at };
    } else if (means.test(kind)) {
      const size = module.attribute('output_size') ?? 1;
      const isOne = [size].flat().every((side) => side === 1);
      if (!isOne || inBlock.test(name)) {
        return { got: kindOf(placed), expected: 'the mean over all pixels at its end', at };
      }
    } else if (kind === 'AvgPool2d') {
      if (inBlock.test(name)) return { got: kindOf(placed), expected: 'no pooling there', at };
      if (!isMeanOfAll(placed, config)) {
        return {
          got: `an average pooling of ${sidesOf(module)} pixels at its end`,
          expected: `one of the ${lastSide(config)}x${lastSide(config)} that are left of images of ${config.imageSize} px, which \`imageSize\` says otherwise`,
          at,
        };
      }
    } else if (kind === 'ReLU' && inClassifier.test(name)) {
      return { got: kindOf(placed), expected: 'a linear layer alone as its classifier', at };
    } else if (isOfLibrary(module) && !usual.test(kind)) {
      return { got: kindOf(placed), expected: 'ReLU and the usual poolings alone', at };
    }
  }
  return undefined;
}

/**
 * Whether the modules of a pickled model say what `resnetFunctions` compares: where its forward pass calls functions in their
 * place, as scripts for CIFAR do, it is taken as usual.
 */
export const tellsFunctions = (modules: ModelModules | undefined): boolean =>
  modules !== undefined &&
  [/^ReLU$/, means].every((kind) =>
    modules.functions.some(({ module }) => kind.test(classOf(module))),
  );

/** Whether an average pooling of a fixed size is the mean over all pixels, which it is for images of one size. */
export const isMeanOfAll = ({ module }: PlacedModule, config: ResNetConfig): boolean =>
  classOf(module) === 'AvgPool2d' &&
  [module.attribute('kernel_size')].flat().every((side) => side === lastSide(config)) &&
  [module.attribute('padding') ?? 0].flat().every((side) => side === 0) &&
  (module.attribute('divisor_override') ?? null) === null;

const sidesOf = (module: PlacedModule['module']): string => {
  const sides = [module.attribute('kernel_size') ?? '?'].flat() as readonly unknown[];
  return printableLine([sides[0], sides.at(-1)].map(String).join('x'));
};

const kindOf = ({ module }: PlacedModule): string =>
  `a module of the class ${printableLine(classOf(module))}`;

/** Of 3x3 at stride 2 behind the first convolution of the stem for large images, and nowhere else. */
function maxPoolProblem(
  { name, at, module }: PlacedModule,
  stem: ResNetConfig['stem'],
): ModuleProblem | undefined {
  if (stem === 'cifar') {
    return {
      got: 'a max pooling',
      expected: 'none behind a first convolution of 3x3',
      at,
    };
  }
  if (inBlock.test(name)) return { got: 'a max pooling', expected: 'none in its blocks', at };
  const settings = { kernel_size: 3, stride: 2, padding: 1, dilation: 1 };
  for (const [setting, expected] of Object.entries(settings)) {
    const value = module.attribute(setting) ?? expected;
    const sides = [value].flat();
    if (sides.every((side) => side === expected)) continue;
    return {
      got: `a max pooling of ${setting} ${sides.map((side) => printableLine(JSON.stringify(side))).join('x')}`,
      expected: `${setting} ${expected}`,
      at: `${at}.${setting}`,
    };
  }
  return module.setting('ceil_mode') === true
    ? {
        got: 'a max pooling that rounds its size up',
        expected: 'one that rounds it down',
        at: `${at}.ceil_mode`,
      }
    : undefined;
}
