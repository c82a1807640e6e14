// Whether the layers of a model here compute as those of a pickled one in what their weights do not tell: strides, paddings, and
// what a class makes of weights that another has too.
import { nn } from '@mamba-prune/libtorch';
import type { PlainValue } from '@mamba-prune/libtorch/files';
import { printableLine } from '../../printable.js';
import type { ImageModel } from '../image-model.js';
import { type PlacedModule, classOf, isOfLibrary } from './module-place.js';
import type { ModuleWords } from './module-words.js';

/** What a module of a file has, and what every model here has in its place. */
export interface ModuleProblem {
  /** Behind 'a ResNet with': `a convolution of stride 1x1`. */
  readonly got: string;
  readonly expected: string;
  /** The attribute or the module, in the file. */
  readonly at: string;
}

/**
 * @param origins - names of tensors of the model, with those that they came from in the file
 * @returns the first layer that differs
 */
export function layerProblem(
  model: ImageModel,
  modules: ModuleWords,
  origins: ReadonlyMap<string, string>,
): ModuleProblem | undefined {
  for (const [path, own] of model.namedModules()) {
    const origin = origins.get(`${path}.weight`);
    const theirs = origin === undefined ? undefined : modules.holderOf(origin);
    if (theirs === undefined) continue;
    const problem =
      own instanceof nn.Conv2d
        ? convolutionProblem(own, theirs)
        : own instanceof nn.BatchNorm2d
          ? normProblem(theirs)
          : undefined;
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Classes that compute the same in inference, by the last part of their names. */
const sameNorms = /BatchNorm/;

/** One of instances has the very tensors of one over a batch. */
function normProblem({ at, module }: PlacedModule): ModuleProblem | undefined {
  return !isOfLibrary(module) || sameNorms.test(classOf(module))
    ? undefined
    : { got: `a norm of the class ${printableLine(classOf(module))}`, expected: 'BatchNorm', at };
}

type Pair = readonly [number, number];

function convolutionProblem(own: nn.Conv2d, theirs: PlacedModule): ModuleProblem | undefined {
  const { at, module } = theirs;
  // Others pad at one side more than at the other, or normalise their weights first.
  if (isOfLibrary(module) && classOf(module) !== 'Conv2d') {
    return {
      got: `a convolution of the class ${printableLine(classOf(module))}`,
      expected: 'Conv2d',
      at,
    };
  }
  const mode = module.setting('padding_mode') ?? 'zeros';
  if (mode !== 'zeros') {
    return {
      got: `a convolution that pads with ${printableLine(String(mode))}`,
      expected: 'zeros',
      at: `${at}.padding_mode`,
    };
  }
  for (const name of ['stride', 'padding', 'dilation'] as const) {
    const got = pairOf(module.attribute(name), own);
    const expected = pairOf(own[name], own);
    if (got === undefined || expected === undefined || shown(got) === shown(expected)) continue;
    return {
      got: `a convolution of ${name} ${shown(got)}`,
      expected: `${name} ${shown(expected)}`,
      at: `${at}.${name}`,
    };
  }
  return undefined;
}

const shown = (pair: Pair): string => pair.join('x');

/** As PyTorch means it: one number for both sides, or a word for a padding. */
function pairOf(
  value: PlainValue | undefined,
  { kernelSize: [height = 1, width = 1] }: nn.Conv2d,
): Pair | undefined {
  if (typeof value === 'number') return [value, value];
  if (value === 'valid') return [0, 0];
  if (value === 'same') return [(height - 1) / 2, (width - 1) / 2];
  if (!Array.isArray(value)) return undefined;
  const [first, second] = value as readonly PlainValue[];
  return typeof first === 'number' && typeof second === 'number' ? [first, second] : undefined;
}
