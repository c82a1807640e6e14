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
export interface WeightsFlags {
  readonly weights?: string;
  readonly classifier?: string;
  readonly classes?: string;
}

export interface ImportFlags extends WeightsFlags {
  readonly arch?: string;
  readonly imageSize?: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly interpolation?: Interpolation;
  readonly cropShare?: number;
}

/** How a command joins the words of a flag: `imp` does it as the original script does. */
type Mark = '-' | '_';

/** What no shape tells and a new model is never asked, as far as the command line asks for it. */
const flagged = (mark: Mark = '-'): SharedOption[] =>
  readingOptions().flatMap(({ flag, ...option }) =>
    flag === undefined ? [] : [{ ...option, flag: flag.replaceAll(/(?<=\w)-/g, mark) }],
  );

/** What a MODEL may be, for help texts. */
export const modelArgument =
  'model file of this program or of PyTorch (.safetensors, .pt, .pth, .bin ...), folder of a run, hf:owner/name, pretrained:NAME of the published ones, or models:NAME of the trained ones';

/** As `modelArgument`, for commands that onnxruntime runs files for too. */
export const modelOrOnnxArgument =
  'model file of this program, of PyTorch (.safetensors, .pt, .pth, .bin ...) or .onnx, folder of a run, hf:owner/name, pretrained:NAME of the published ones, or models:NAME of the trained ones';

const weightsOption = (): Option =>
  new Option(
    '--weights <key>',
    'key of the weights in the file, such as ema (default: the usual ones)',
  );

const classifierOption = (): Option =>
  new Option(
    '--classifier <name>',
    'layer that classifies, where the file has several; a,b for layers that run in this order, such as bn,fc',
  );

export const classesOption = (of = 'names of the classes of the model, in its order'): Option =>
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

/**
 * What every command asks of a file of weights beside its sizes, those that train too: mean, deviation and the preparation of
 * images are not among it, which in a training are those of the data.
 */
export const weightsOptions = (mark: Mark = '-'): Option[] => [
  weightsOption(),
  classifierOption(),
  classesOption(),
  ...flagged(mark).map((option) => familyOption(option, option.whenRead)),
];

/** @param heading - of the group in help texts */
export function addImportOptions(
  command: Command,
  heading = 'Files of other programs, where they do not say it themselves:',
): void {
  command.optionsGroup(heading);
  addOptions(command, [
    choiceOption('--arch <name>', 'architecture', modelNames(), 'as the shapes say'),
    ...weightsOptions(),
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
  ]);
}

/**
 * What was typed, as importing takes it.
 * @throws UsageError for names of classes that no list can have
 */
export async function importOptionsOf(flags: ImportFlags): Promise<ImportOptions> {
  const { arch, mean, std, imageSize, interpolation, cropShare } = flags;
  return defined({
    arch,
    ...(await weightsOptionsOf(flags)),
    mean,
    std,
    interpolation,
    cropShare,
    imageSize,
    ...typedModelOptions(flags),
  });
}

/**
 * What was typed for `weightsOptions`, as importing takes it.
 * @throws UsageError for names of classes that no list can have
 */
export async function weightsOptionsOf(
  { weights: key, classifier, classes, ...flags }: WeightsFlags,
  mark: Mark = '-',
): Promise<ImportOptions> {
  return defined({
    key,
    classifier,
    classes: classes === undefined ? undefined : await classNames(classes),
    ...typed(flags, flagged(mark)),
  });
}

/**
 * The first of `weightsOptions` that was typed, where there is no file that it could be about.
 * @returns the flag with its dashes, and its value; undefined for one that has none
 */
export function typedOfWeights(
  flags: WeightsFlags,
  mark: Mark = '-',
): { readonly flag: string; readonly value: string | undefined } | undefined {
  const given = flags as Readonly<Record<string, string | number | true | undefined>>;
  for (const option of weightsOptions(mark)) {
    const value = given[option.attributeName()];
    if (value === undefined) continue;
    return { flag: option.long ?? '', value: value === true ? undefined : String(value) };
  }
  return undefined;
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
