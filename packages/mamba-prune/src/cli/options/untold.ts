// What the weights of another program do not tell, and a new model is never asked.
import type { Command } from 'commander';
import { Option } from 'commander';
import { modelLimits } from '../../limits.js';
import type { UntoldOptions } from '../../models/import-layout.js';
import { type VitPooling, vitPoolings } from '../../models/vit-config.js';
import { choiceOption, integerOption } from './parse.js';
import { defined } from './recipe.js';

export interface UntoldFlags {
  readonly headDim?: number;
  readonly pooling?: VitPooling;
  readonly resamplePositions?: boolean;
}

/** For every command that takes the weights of other programs; beside `addModelOptions`. */
export function addUntoldOptions(command: Command): void {
  for (const option of [
    integerOption('--head-dim <n>', 'ViT: width of an attention head, where no shape tells it', {
      min: 1,
      max: modelLimits.dModel,
    }),
    choiceOption(
      '--pooling <what>',
      'ViT: what the classifier reads',
      vitPoolings,
      'as the file says',
    ),
    new Option(
      '--resample-positions',
      'Mamba, ViT: positions for --image-size, where the file has them for another size',
    ),
  ]) {
    command.addOption(option);
  }
}

export function typedUntoldOptions(flags: UntoldFlags): UntoldOptions {
  const { headDim, pooling, resamplePositions } = flags;
  return defined({ headDim, pooling, resamplePositions });
}
