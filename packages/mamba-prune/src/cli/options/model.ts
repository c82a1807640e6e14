// Which model, and what differs from its architecture. Every family brings its options.
import { type Command, Option } from 'commander';
import { dataLimits } from '../../limits.js';
import { imageOptions } from '../../models/common-options.js';
import { type SharedOption, modelNames, modelOptions } from '../../models/families.js';
import type { ModelOption } from '../../models/family.js';
import type { ModelOptions } from '../../models/model-options.js';
import { type PresetName, presetModelOptions } from '../../training/presets.js';
import {
  addOptions,
  attributeOf,
  choiceOption,
  integerOption,
  integersOption,
  numberOption,
} from './parse.js';

/** What was typed. The options of the families are beside these, by the names that commander gives to their flags. */
export interface ModelFlags {
  readonly arch?: string;
  readonly imageSize?: number;
}

/** @param fallback - architecture that is meant without --arch */
export function addModelOptions(command: Command, fallback: string): void {
  command.optionsGroup('Model:');
  addOptions(command, [
    choiceOption('--arch <name>', 'architecture', modelNames(), fallback),
    ...sizeOptions('new'),
    integerOption('--image-size <px>', 'side of images from folders (default: 224)', {
      min: 1,
      max: dataLimits.imageSize,
    }),
    dropPathOption(),
  ]);
}

export const dropPathOption = (): Option =>
  optionOf(imageOptions.dropPath, `(default: ${imageOptions.dropPath.whenNew})`);

/** What differs from an architecture, for a model that is made new or read from another program's file. */
export const sizeOptions = (model: 'new' | 'read'): Option[] =>
  sizes().map((option) => {
    const { whenNew = 'as --arch', whenRead = 'as the shapes say' } = option;
    return familyOption(option, model === 'new' ? whenNew : whenRead);
  });

/** Those that commands have for all families stand elsewhere. */
const sizes = (): SharedOption[] =>
  modelOptions().filter(
    ({ name, flag }) => flag !== undefined && !Object.hasOwn(imageOptions, name),
  );

/** An option of some families, whose titles come first: `Mamba, ViT: number of blocks (default: ...)`. */
export function familyOption(option: SharedOption, fallback?: string): Option {
  const suffix = fallback === undefined ? '' : `(default: ${fallback})`;
  const help = `${option.titles.join(', ')}: ${option.help ?? option.name}`;
  return optionOf({ ...option, help }, suffix, fallback);
}

function optionOf(
  { flag = '', help = '', values }: ModelOption,
  suffix: string,
  fallback?: string,
): Option {
  const text = suffix === '' ? help : `${help} ${suffix}`;
  switch (values.type) {
    case 'integer':
      return integerOption(flag, text, values);
    case 'number':
      return numberOption(flag, text, values);
    case 'integers':
      return integersOption(flag, text, { ...values, repeats: true });
    case 'choice':
      return choiceOption(flag, help, values.choices, fallback);
    case 'switch':
      return new Option(flag, help);
  }
}

/** Only what was typed; the image size belongs to the data. */
export function typedModelOptions(flags: object): ModelOptions {
  return typed(flags, [...sizes(), { ...imageOptions.dropPath, name: 'dropPath', titles: [] }]);
}

/** The options that were typed, by their names in the library. */
export function typed(flags: object, options: readonly SharedOption[]): Record<string, unknown> {
  const given = flags as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    options.flatMap(({ name, flag }): [string, unknown][] => {
      const value = flag === undefined ? undefined : given[attributeOf(flag)];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/**
 * Of a model that is trained anew: what was typed over what the preset found for the data set.
 * @param arch - name of the architecture
 */
export function newModelOptions(
  flags: { readonly preset?: PresetName },
  dataset: string,
  arch: string,
): ModelOptions {
  const { preset } = flags;
  const found = preset === undefined ? {} : presetModelOptions(preset, dataset, arch);
  return { ...found, ...typedModelOptions(flags) };
}
