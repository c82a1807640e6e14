// What a file of another program does not tell of its model: the same flags wherever a command takes MODEL.
import { existsSync, statSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { modelLimits } from '../../limits.js';
import { type SharedOption, modelNames, readingOptions } from '../../models/families.js';
import type { ImportOptions } from '../../models/import/model.js';
import {
  type Interpolation,
  interpolations,
  leastCropShare,
} from '../../preparation/preprocessing.js';
import { familyOption, sizeOptions, typed, typedModelOptions } from './model.js';
import { addOptions, choiceOption, integerOption, numberOption, numbersOption } from './parse.js';

/** Those of the families are beside them, by the names that commander gives them. */
export interface ImportFlags {
  readonly arch?: string;
  readonly imageSize?: number;
  readonly weights?: string;
  readonly classifier?: string;
  readonly classes?: string;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly interpolation?: Interpolation;
  readonly cropShare?: number;
}

/** What no shape tells and a new model is never asked, as far as the command line asks for it. */
const flagged = (): SharedOption[] => readingOptions().filter(({ flag }) => flag !== undefined);

/** What a MODEL may be, for help texts. */
export const modelArgument =
  'model file of this program or of PyTorch (.safetensors, .pt, .pth, .bin ...), folder of a run, hf:owner/name, pretrained:NAME of the published ones, or models:NAME of the trained ones';

/** As `modelArgument`, for commands that onnxruntime runs files for too. */
export const modelOrOnnxArgument =
  'model file of this program, of PyTorch (.safetensors, .pt, .pth, .bin ...) or .onnx, folder of a run, hf:owner/name, pretrained:NAME of the published ones, or models:NAME of the trained ones';

export const weightsOption = (): Option =>
  new Option(
    '--weights <key>',
    'key of the weights in the file, such as ema (default: the usual ones)',
  );

export const classifierOption = (): Option =>
  new Option(
    '--classifier <name>',
    'layer that classifies, where the file has several; a,b for layers that run in this order, such as bn,fc',
  );

export const classesOption = (of = 'names of the classes'): Option =>
  new Option('--classes <names>', `${of} (a,b,c), or a file with one per line`);

/** @param fallback - what is taken where neither the flags nor the files tell */
export const pixelOptions = (fallback: string): Option[] => [
  numbersOption(
    '--mean <x,x,x>',
    `mean of the pixels, from 0 to 1, in each channel (default: ${fallback})`,
    {
      min: -1e4,
      max: 1e4,
    },
  ),
  numbersOption(
    '--std <x,x,x>',
    `standard deviation of the pixels in each channel (default: ${fallback})`,
    {
      above: 0,
      max: 1e4,
    },
  ),
];

/** @param heading - of the group in help texts */
export function addImportOptions(
  command: Command,
  heading = 'Files of other programs, where they do not say it themselves:',
): void {
  command.optionsGroup(heading);
  addOptions(command, [
    choiceOption('--arch <name>', 'architecture', modelNames(), 'as the shapes say'),
    weightsOption(),
    classifierOption(),
    classesOption(),
    ...pixelOptions("ImageNet's"),
    choiceOption(
      '--interpolation <name>',
      'how images are resized',
      interpolations,
      'bilinear; Vim and VMamba bicubic',
    ),
    numberOption(
      '--crop-share <x>',
      'share of the shorter side that the centre crop keeps (default: 0.875)',
      {
        min: leastCropShare,
        max: 1,
      },
    ),
    integerOption(
      '--image-size <px>',
      'side of the input images (default: 224; small ResNets 32)',
      {
        min: 1,
        max: modelLimits.imageSize,
      },
    ),
    ...sizeOptions('read'),
    ...flagged().map((option) => familyOption(option, option.whenRead)),
  ]);
}

/**
 * What was typed, as importing takes it.
 * @throws UsageError for names of classes that no list can have
 */
export async function importOptionsOf(flags: ImportFlags): Promise<ImportOptions> {
  const { arch, weights: key, classifier, classes, mean, std, imageSize } = flags;
  const { interpolation, cropShare } = flags;
  return defined({
    arch,
    key,
    classifier,
    classes: classes === undefined ? undefined : await classNames(classes),
    mean,
    std,
    interpolation,
    cropShare,
    imageSize,
    ...typedModelOptions(flags),
    ...typed(flags, flagged()),
  });
}

/** What was typed as `--classes`. @throws UsageError for names that no list can have */
export async function classNames(text: string): Promise<string[]> {
  const isFile = existsSync(text) && !statSync(text).isDirectory();
  if (!isFile && /[/\\]|\.(?:txt|names|labels|csv|json)$/i.test(text) && !text.includes(',')) {
    throw new UsageError(
      `--classes: ${text} is no file, expected names separated by commas, such as cat,dog, or a file with a name on each line.`,
    );
  }
  const names = isFile ? await linesOf(text) : text.split(',');
  const trimmed = names.map((name) => name.trim());
  const empty = trimmed.indexOf('');
  if (empty < 0) return trimmed;
  throw new UsageError(
    `--classes: name ${empty + 1} of ${trimmed.length} is empty in ${isFile ? text : `'${text}'`}, expected ` +
      `${isFile ? 'a name on each line' : 'names separated by commas, such as cat,dog, or a file with a name on each line'}.`,
  );
}

/** Names of ten thousands of classes are a MB. */
const largestFile = 2 ** 24;

async function linesOf(path: string): Promise<string[]> {
  const { readTextFile } = await import('@mamba-prune/libtorch/files');
  try {
    const text = readTextFile(path, { most: largestFile });
    return text.trimEnd().split(/\r?\n/);
  } catch (error) {
    throw new UsageError(
      `--classes: ${path} cannot be read (${(error as Error).message}), expected a file with a name on each line.`,
      { cause: error },
    );
  }
}
