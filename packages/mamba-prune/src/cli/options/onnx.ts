// How an ONNX file is written.
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { type InputType, type ScanOp, inputTypes, scanOps } from '../../export/onnx/choices.js';
import { type DataOptions, addDataOptions } from './data.js';
import { choiceOption, integerOption } from './parse.js';

export interface OnnxFlags extends DataOptions {
  readonly input?: InputType;
  readonly scanOp?: ScanOp;
  readonly images?: number;
  readonly verify: boolean;
}

export function addOnnxOptions(command: Command): void {
  command.optionsGroup('ONNX:');
  for (const option of [
    choiceOption('--input <type>', 'pixels, 0 to 255 or 0 to 1', inputTypes, 'uint8'),
    choiceOption('--scan-op <name>', 'Mamba: operator of the scan', scanOps, 'scan'),
    new Option('--no-verify', 'do not run the file and compare it with the model'),
  ]) {
    command.addOption(option);
  }
  addDataOptions(command, "the model's own where it is at hand, for verifying");
  command.addOption(integerOption('--images <n>', 'test images for the accuracy', { min: 1 }));
}

/** @throws UsageError naming an option that the format does not have */
export function refuseOnnxOptions(given: Partial<OnnxFlags>, format: string): void {
  const names = {
    input: '--input',
    scanOp: '--scan-op',
    verify: '--no-verify',
    dataset: '--dataset',
    data: '--data',
    images: '--images',
  } as const satisfies Record<keyof OnnxFlags, string>;
  for (const [key, name] of Object.entries(names)) {
    if (given[key as keyof OnnxFlags] === undefined) continue;
    throw new UsageError(
      `${name}: belongs to --format onnx, not ${format}. Leave it out, or give --format onnx.`,
    );
  }
}
