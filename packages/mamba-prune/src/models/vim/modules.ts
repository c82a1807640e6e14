// What the modules of a pickled Vim say that no tensor tells: where its class token is, what becomes of both directions, and of which
// images the patches are. The names of the attributes are those of github.com/hustvl/Vim.
import type { PlainValue } from '@mamba-prune/libtorch/files';
import type { ModelModules } from '../import/layout.js';
import type { ModuleProblem } from '../import/module-layers.js';
import { type PlacedModule, classOf, isOfLibrary } from '../import/module-place.js';
import { printableLine } from '../../printable.js';
import type { TrainedGeometry } from './import-script.js';

/** What an attribute has to be, where it is there, and what the model is without. */
const ofModel: readonly (readonly [attribute: string, value: PlainValue, got: string])[] = [
  ['use_middle_cls_token', true, 'its class token elsewhere than in the middle of the patches'],
  ['use_double_cls_token', false, 'a class token at each end'],
  ['if_bidirectional', false, 'layers that scan one way each'],
  ['if_rope', false, 'rotary positions'],
];

/** The second is how earlier versions wrote the first. */
const halving = ['if_divide_out', 'if_devide_out'] as const;

const usual = /^(?:Identity|Dropout\w*|DropPath|SiLU|ModuleList|Sequential)$/;

const inMixer = /^layers\.\d+\.mixer$/;

/** @returns the first that computes what no Vim here does */
export function vimFunctions({ functions, parts }: ModelModules): ModuleProblem | undefined {
  for (const part of parts) {
    const problem =
      part.name === ''
        ? modelProblem(part)
        : inMixer.test(part.name)
          ? mixerProblem(part)
          : undefined;
    if (problem !== undefined) return problem;
  }
  const other = functions.find(({ module }) => isOfLibrary(module) && !usual.test(classOf(module)));
  return (
    other && {
      got: `a module of the class ${printableLine(classOf(other.module))}`,
      expected: 'SiLU alone',
      at: other.at,
    }
  );
}

function modelProblem({ at, module }: PlacedModule): ModuleProblem | undefined {
  for (const [attribute, expected, got] of ofModel) {
    const value = module.setting(attribute);
    if (value === undefined || value === expected) continue;
    return { got, expected: `${attribute} ${shown(expected)}`, at: within(at, attribute) };
  }
  const ratio = module.setting('flip_img_sequences_ratio');
  return typeof ratio === 'number' && ratio > 0
    ? {
        got: 'sequences that are reversed by chance',
        expected: 'flip_img_sequences_ratio -1',
        at: within(at, 'flip_img_sequences_ratio'),
      }
    : undefined;
}

function mixerProblem({ at, module }: PlacedModule): ModuleProblem | undefined {
  const type = module.setting('bimamba_type');
  if (type !== undefined && type !== 'v2') {
    return {
      got: `scans of bimamba ${printableLine(String(type))}`,
      expected: 'v2',
      at: within(at, 'bimamba_type'),
    };
  }
  const name = halving.find((each) => module.setting(each) !== undefined);
  return name !== undefined && module.setting(name) !== true
    ? { got: 'the sum of both directions', expected: 'their mean', at: within(at, name) }
    : undefined;
}

/** Whether the modules say of themselves what has to be asked of a state dict: that they are those of a Vim. */
export const isVim = ({ parts }: ModelModules): boolean =>
  parts.some(
    ({ name, module }) => name === '' && module.setting('use_middle_cls_token') === true,
  ) &&
  parts
    .filter(({ name }) => inMixer.test(name))
    .every(({ module }) => halving.some((each) => module.setting(each) === true));

/** Of which images the patches are; undefined where the embedding does not say it of square ones. */
export function pickledGeometry({ parts }: ModelModules): TrainedGeometry | undefined {
  const [embedding, convolution] = ['patch_embed', 'patch_embed.proj'].map(
    (part) => parts.find(({ name }) => name === part)?.module,
  );
  const [imageSize, stride] = [
    embedding?.attribute('img_size'),
    convolution?.attribute('stride'),
  ].map(sideOf);
  return imageSize === undefined || stride === undefined ? undefined : { imageSize, stride };
}

/** One number, or two that are the same. */
function sideOf(value: PlainValue | undefined): number | undefined {
  const [first, second = first] = [value].flat() as readonly (PlainValue | undefined)[];
  return typeof first === 'number' && first === second ? first : undefined;
}

const shown = (value: PlainValue): string => (value === true ? 'True' : 'False');

const within = (at: string, name: string): string => (at === '' ? name : `${at}.${name}`);
