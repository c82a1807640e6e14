// What the modules of a pickled VMamba compute that have no weights: the functions between its layers.
import type { ModelModules } from '../import/layout.js';
import type { ModuleProblem } from '../import/module-layers.js';
import { classOf, isOfLibrary } from '../import/module-place.js';
import { stemStrides, vmambaStrides } from './config.js';
import { printableLine } from '../../printable.js';

/** Nothing in inference, or what moves numbers about. */
const usual =
  /^(?:Identity|Dropout\w*|DropPath|StochasticDepth|Flatten|Permute|Sequential|ModuleList|ModuleDict|AdaptiveAvgPool2d)$/;

/** Of the functions between the layers the class that stands in each place. */
const functionsAt = [
  [/^layers\.\d+\.blocks\.\d+\.op\.act$/, 'SiLU'],
  [/^layers\.\d+\.blocks\.\d+\.mlp\.act$/, 'GELU'],
  [/^patch_embed\.4$/, 'GELU'],
] as const;

/** Pixels from one position to the next behind the stem; undefined where its convolutions do not say it, or it is none that there is. */
export function pickledStem({ parts }: ModelModules): number | undefined {
  const strides = ['patch_embed.0', 'patch_embed.5'].map((part) => {
    const value = parts.find(({ name }) => name === part)?.module.attribute('stride');
    const [first, second = first] = [value].flat() as readonly unknown[];
    return first === second && typeof first === 'number' ? first : undefined;
  });
  return vmambaStrides.find((stride) => String(stemStrides(stride)) === String(strides));
}

/** @returns the first that computes what no VMamba here does */
export function vmambaFunctions({ functions }: ModelModules): ModuleProblem | undefined {
  for (const { name, at, module } of functions) {
    const kind = classOf(module);
    if (!isOfLibrary(module) || usual.test(kind)) continue;
    const expected = functionsAt.find(([place]) => place.test(name))?.[1];
    const isExact = (module.setting('approximate') ?? 'none') === 'none';
    if (kind === expected && isExact) continue;
    return {
      got: `a module of the class ${printableLine(classOf(module))}${isExact ? '' : ' that is approximated'}`,
      expected: expected ?? 'no function there',
      at,
    };
  }
  return undefined;
}
