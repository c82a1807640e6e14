// What the weights of another program do not tell, and a new model is never asked.
import { Option } from 'commander';
import { modelLimits } from '../../limits.js';
import type { UntoldOptions } from '../../models/import/layout.js';
import { type VitPooling, vitPoolings } from '../../models/vit/config.js';
import { choiceOption, integerOption } from './parse.js';
import { defined } from '../../defined.js';

export interface UntoldFlags {
  readonly headDim?: number;
  readonly pooling?: VitPooling;
  readonly resamplePositions?: boolean;
}

export const untoldOptions = (): Option[] => [
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
];

export function typedUntoldOptions(flags: UntoldFlags): UntoldOptions {
  const { headDim, pooling, resamplePositions } = flags;
  return defined({ headDim, pooling, resamplePositions });
}
