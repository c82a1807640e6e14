// How an ONNX file is written.
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { trainLimits } from '../../limits.js';
import {
  type FloatType,
  type InputType,
  type Quantization,
  type ScanOp,
  type Target,
  floatTypes,
  inputTypes,
  quantizations,
  scanOps,
  targets,
} from '../../onnx/choices.js';
import { type DataOptions, addDataOptions } from './data.js';
import { addOptions, choiceOption, integerOption } from './parse.js';

export interface OnnxFlags extends DataOptions {
  readonly input?: InputType;
  readonly target?: Target;
  readonly scanOp?: ScanOp;
  readonly dtype?: FloatType;
  readonly quantize?: Quantization;
  readonly images?: number;
  readonly verify: boolean;
}

export function addOnnxOptions(command: Command): void {
  command.optionsGroup('ONNX:');
  addOptions(command, [
    choiceOption(
      '--input <type>',
      'input pixels: 0 to 255, 0 to 1, or normalised RGB as transformers gives it',
      inputTypes,
      'uint8',
    ),
    choiceOption('--target <name>', 'what the file will run on', targets, 'cpu'),
    choiceOption(
      '--scan-op <name>',
      'Mamba, VMamba, Vim: ONNX operator that computes the scan',
      scanOps,
      'scan-adaptive; linear-attention for webgpu',
    ),
    choiceOption(
      '--dtype <name>',
      'number format to compute in; in safetensors that of matrices',
      floatTypes,
      'float32; safetensors: 16 bits where the model has them',
    ),
    choiceOption('--quantize <name>', 'store the weights as integers', quantizations, 'none'),
    new Option('--no-verify', 'do not run the file to compare it with the model'),
  ]);
  addDataOptions(command, 'none; with one the accuracy is measured');
  command.addOption(
    integerOption('--images <n>', 'number of test images for the accuracy (default: 2000)', {
      min: 1,
      max: trainLimits.images,
    }),
  );
}

/** A folder for the hub has all forms of the file. */
const ofOneFile = ['input', 'dtype', 'quantize'];

/** @throws UsageError naming an option that the format does not have */
export function refuseOnnxOptions(given: Partial<OnnxFlags>, format: string): void {
  const names = {
    input: '--input',
    target: '--target',
    scanOp: '--scan-op',
    dtype: '--dtype',
    quantize: '--quantize',
    verify: '--no-verify',
    dataset: '--dataset',
    data: '--data',
    images: '--images',
  } as const satisfies Record<keyof OnnxFlags, string>;
  for (const [key, name] of Object.entries(names)) {
    if (given[key as keyof OnnxFlags] === undefined) continue;
    if (format === 'hf' && !ofOneFile.includes(key)) continue;
    if (format === 'safetensors' && key === 'dtype') continue;
    const formats = key === 'dtype' ? 'onnx or safetensors' : 'onnx';
    throw new UsageError(
      `${name}: belongs to --format ${formats}, not ${format}. Leave it out, or give --format ${formats}.`,
    );
  }
}
