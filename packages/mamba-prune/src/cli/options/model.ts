// Which model, and what differs from its architecture.
import type { Command, Option } from 'commander';
import { modelLimits } from '../../limits.js';
import { modelNames } from '../../models/architectures.js';
import type { ModelOptions } from '../../models/mamba/config.js';
import { type ResNetStem, resnetStems } from '../../models/resnet/config.js';
import { type ScanMode, scanModes } from '../../models/mamba/scan-order.js';
import { type PresetName, presetModelOptions } from '../../training/presets.js';
import { choiceOption, integerOption, integersOption, numberOption } from './parse.js';
import { defined } from './recipe.js';

export interface ModelFlags {
  readonly arch?: string;
  readonly scan?: ScanMode;
  readonly patch?: number;
  readonly dModel?: number;
  readonly depth?: number;
  readonly dState?: number;
  readonly heads?: number;
  readonly stem?: ResNetStem;
  readonly baseWidth?: number;
  readonly blocks?: readonly number[];
  readonly imageSize?: number;
  readonly dropPath?: number;
}

/** @param fallback - architecture that is meant without --arch */
export function addModelOptions(command: Command, fallback: string): void {
  command.optionsGroup('Model:');
  for (const option of [
    choiceOption('--arch <name>', 'architecture', modelNames(), fallback),
    ...sizeOptions('as --arch'),
    integerOption('--image-size <px>', 'side of images from folders (default: 224)', {
      min: 1,
      max: modelLimits.imageSize,
    }),
    dropPathOption(),
  ]) {
    command.addOption(option);
  }
}

export const dropPathOption = (): Option =>
  numberOption('--drop-path <x>', 'chance that a sample skips a branch (default: 0)', {
    min: 0,
    below: 1,
  });

/**
 * What differs from an architecture.
 * @param fallback - what holds where nothing is typed
 */
export function sizeOptions(fallback: 'as --arch' | 'as the shapes say'): Option[] {
  const isNew = fallback === 'as --arch';
  const or = (usual: string): string => (isNew ? usual : fallback);
  return [
    choiceOption(
      '--scan <way>',
      'Mamba: one direction, both, or four by turns',
      scanModes,
      isNew ? 'uni' : 'bi if the shapes say so, else asked for',
    ),
    integerOption(
      '--patch <px>',
      `side of a patch (default: ${or('4; 8 over 40 px, 16 over 128')})`,
      {
        min: 1,
        max: modelLimits.patchSize,
      },
    ),
    integerOption('--d-model <n>', `Mamba, ViT: width (default: ${fallback})`, {
      min: 1,
      max: modelLimits.dModel,
    }),
    integerOption('--depth <n>', `Mamba, ViT: blocks (default: ${fallback})`, {
      min: 1,
      max: modelLimits.depth,
    }),
    integerOption('--d-state <n>', `Mamba: states per channel (default: ${fallback})`, {
      min: 1,
      max: modelLimits.dState,
    }),
    integerOption('--heads <n>', 'ViT: attention heads (default: as --arch)', {
      min: 1,
      max: modelLimits.heads,
    }),
    choiceOption('--stem <kind>', 'ResNet: how it begins', resnetStems, or('by image size')),
    integerOption('--base-width <n>', 'ResNet: channels of the first stage', {
      min: 1,
      max: modelLimits.baseWidth,
    }),
    integersOption('--blocks <n,n,...>', 'ResNet: blocks of each stage', {
      min: 1,
      max: modelLimits.depth,
      repeats: true,
    }),
  ];
}

/** Only what was typed; the image size belongs to the data. */
export function typedModelOptions(flags: ModelFlags): ModelOptions {
  const { scan, patch, dModel, depth, dState, heads, stem, baseWidth, blocks, dropPath } = flags;
  return defined({
    ...{ scan, patchSize: patch, dModel, depth, dState, heads },
    ...{ stem, baseWidth, blocks, dropPath },
  });
}

/**
 * Of a model that is trained anew: what was typed over what the preset found for the data set.
 * @param arch - name of the architecture
 */
export function newModelOptions(
  flags: ModelFlags & { readonly preset?: PresetName },
  dataset: string,
  arch: string,
): ModelOptions {
  const { preset } = flags;
  const found = preset === undefined ? {} : presetModelOptions(preset, dataset, arch);
  return { ...found, ...typedModelOptions(flags) };
}
