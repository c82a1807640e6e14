// Which model a state dict of another program is of, from the names and shapes of its tensors.
import { FormatError, type Tensor } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { listed } from '../../printable.js';
import { checkModelOptions, families, familyNamed, familyOf, readingOptions } from '../families.js';
import type { Family, Sizes } from '../family.js';
import type { ModelConfigBase } from '../image-model.js';
import type { ModelOptions } from '../model-options.js';
import type { ClassifierNames } from './classifier-layers.js';
import type { Telling } from './choice.js';
import { withPlainClassifier } from './plain-classifier.js';
import { refuseNamedVariants, refuseOtherModels, refuseOtherNames } from './other-models.js';
import { UntoldError, joined } from './untold.js';
import type {
  Layout,
  LayoutOptions,
  ModelModules,
  ReadModel,
  ScriptArguments,
  Shapes,
} from './layout.js';

/**
 * The model that a state dict is of.
 *
 * @param tensors - by the model's own names, without the prefixes of wrappers; they are never changed
 * @param args - of the script that trained it
 * @param modules - of a whole model that was pickled
 * @throws FormatError if no family has such names, or no model of it here such tensors
 * @throws UsageError if no architecture comes near, if it does not have one of the options, or if what the
 *   caller says contradicts the shapes
 */
export function readModel(
  tensors: ReadonlyMap<string, Tensor>,
  options: LayoutOptions = {},
  args?: ScriptArguments,
  modules?: ModelModules,
): ReadModel {
  const readable = readableFamily(shapesOf(tensors), args);
  const { family, layout } = readable;
  refuseNamedVariants(family, args);
  if (options.arch !== undefined && familyOf(options.arch) !== family) {
    throw new UsageError(
      `import: got \`arch\` '${options.arch}' for the weights of a ${family.name}, ` +
        `expected one of ${listed(Object.keys(family.architectures))}`,
    );
  }
  const said = checkReadingOptions(family, options);
  const called = layout.classifier?.(shapesOf(tensors));
  const plain = withPlainClassifier(tensors, called);
  const reading = layout.read(plain.tensors, options, args, modules);
  const arch = options.arch ?? closestArchitecture(readable, reading.sizes, options);
  checkModelOptions(arch, said);
  const problems =
    options.arch === undefined ? [] : differences(family, arch, reading.sizes, options);
  if (problems.length > 0) {
    const wrong =
      `import: the weights are not those of ${arch} as asked for: ${problems.join('; ')}. ` +
      otherwise(readable, arch, reading.sizes, options);
    const untold = whatIsUntold(() => reading.config(arch, options));
    throw new UsageError(joined([wrong, ...untold]));
  }
  const { config, assumed, notes } = reading.config(arch, options);
  const named = options.arch === undefined ? sizeNotes(family, arch, reading.sizes) : [];
  return {
    config,
    assumed,
    notes: [...plain.notes, ...reading.notes, ...named, ...notes],
    tensors: reading.tensors,
  };
}

/** The messages of what else must be said; what does not fit is left for when the sizes do. */
function whatIsUntold(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    return error instanceof UntoldError ? [error.message] : [];
  }
}

/** The family that weights are of, by telling names. @throws FormatError as `readModel` */
export function readableFamily(shapes: Shapes, args?: ScriptArguments): ReadableFamily {
  refuseOtherModels(args);
  return familyFromShapes(shapes);
}

const shapesOf = (tensors: ReadonlyMap<string, Tensor>): Shapes =>
  new Map(Array.from(tensors, ([name, { shape }]) => [name, shape]));

/**
 * @returns the options that a new model has too
 * @throws UsageError for one that the family does not have
 */
function checkReadingOptions(family: Family, options: LayoutOptions): ModelOptions {
  const names = readingOptions().map(({ name }) => name);
  const own = family.layout?.options ?? {};
  const said = Object.entries(options).filter(([, value]) => value !== undefined);
  const foreign = said.filter(([name]) => names.includes(name) && !Object.hasOwn(own, name));
  if (foreign.length > 0) {
    throw new UsageError(
      `import: got the option ${foreign.map(([name]) => `\`${name}\``).join(', ')} for the weights of a ${family.name}, which has no such. Leave it out.`,
    );
  }
  return Object.fromEntries(said.filter(([name]) => name !== 'arch' && !names.includes(name)));
}

/** Whether shapes are those of a family, by telling names only. */
export function isKnownLayout(shapes: Shapes): boolean {
  return recognised(shapes) !== undefined;
}

/** What the classifier of the family whose names these are is called; undefined if it does not say so. */
export function classifierNames(shapes: Shapes): ClassifierNames | undefined {
  return recognised(shapes)?.layout.classifier?.(shapes);
}

/** What tells one state dict from another. */
export const telling: Telling = { isModel: isKnownLayout, classifierNames };

interface ReadableFamily {
  readonly family: Family;
  readonly layout: Layout;
}

const readableFamilies = (): ReadableFamily[] =>
  families().flatMap((family) => (family.layout ? [{ family, layout: family.layout }] : []));

/** The family whose telling names these are. Asked for every prefix of a file's names. */
function recognised(shapes: Shapes): ReadableFamily | undefined {
  for (const family of families()) {
    const { layout } = family;
    if (layout?.recognises(shapes) === true) return { family, layout };
  }
  return undefined;
}

/** What FSDP calls them in a local state dict. */
const flattened = /(?:^|\.)_?flat_param(?:_\d+)?$/;

function familyFromShapes(shapes: Shapes): ReadableFamily {
  const found = recognised(shapes);
  if (found) return found;
  // A plugin may have models of such names.
  refuseOtherNames(shapes.keys());
  const flat = [...shapes.keys()].find((name) => flattened.test(name));
  if (flat !== undefined) {
    throw new FormatError(
      `import: got ${listed([`'${flat}'`])}, parameters that FSDP has joined into one, expected each by its name. ` +
        'Save the full state dict where it was trained: FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT).',
    );
  }
  throw new FormatError(
    `import: got tensors ${listed([...shapes.keys()]) || '(none)'}, expected the names of ` +
      `${anyOf(readableFamilies().map(({ layout }) => layout.programs))}. An architecture of your own is read with a plugin that defines it (\`loadPlugin\`, docs/extend.md).`,
  );
}

/** `a`, `a or of b`, `a, of b, or of c`. */
const anyOf = (phrases: readonly string[]): string =>
  phrases.length < 3
    ? phrases.join(' or of ')
    : `${phrases.slice(0, -1).join(', of ')}, or of ${phrases.at(-1) ?? ''}`;

/**
 * The architecture that has the sizes of the file, or else the one that differs from them the least: its name says where
 * a model comes from, and the sizes are those of the file in any case.
 * @throws UsageError if an option contradicts the file, or an architecture differs in more than options can say
 */
function closestArchitecture(
  { family, layout }: ReadableFamily,
  sizes: Sizes,
  options: LayoutOptions,
): string {
  const names = Object.keys(family.architectures);
  const wrong = contradictions(sizes, options);
  const [closest] = names
    .map((arch) => ({ arch, differ: differing(family, arch, sizes, {}) }))
    .filter(({ differ }) => differ.every((name) => layout.telling.includes(name)))
    .sort((a, b) => a.differ.length - b.differ.length);
  if (wrong.length > 0) {
    const whose = closest?.differ.length === 0 ? `, which are those of ${closest.arch},` : '';
    throw new UsageError(
      `import: the weights${whose} are not as asked for: ${wrong.join('; ')}. Leave out what the file has otherwise.`,
    );
  }
  if (closest !== undefined) return closest.arch;
  const telling = Object.keys(Object.values(family.architectures)[0] ?? {})
    .filter((name) => sizes[name] !== undefined)
    .map((name) => `\`${name}\` ${shown(sizes[name])}`);
  throw new UsageError(
    `import: the weights are of a ${family.name} of ${telling.join(', ')}, which none of ${names.join(', ')} has. ` +
      `Say which with \`arch\`, and give the sizes that differ from it (${layout.telling.map((size) => `\`${size}\``).join(', ')}).`,
  );
}

/** What was said of sizes, where the file has them otherwise. */
function contradictions(sizes: Sizes, options: LayoutOptions): string[] {
  const said = options as Readonly<Record<string, unknown>>;
  return Object.entries(sizes)
    .filter(([name, size]) => said[name] !== undefined && shown(said[name]) !== shown(size))
    .map(([name, size]) => `\`${name}\` is ${shown(size)}, expected ${shown(said[name])}`);
}

/** The sizes of the file by which it differs from an architecture that was found for it, in a sentence. */
function sizeNotes(family: Family, arch: string, sizes: Sizes): string[] {
  const own = differing(family, arch, sizes, {});
  if (own.length === 0) return [];
  return [
    `No architecture here has these sizes: the model is called ${arch}, and has ${own.map((name) => `\`${name}\` ${listedSize(sizes[name])}`).join(' and ')} as the file has ${own.length === 1 ? 'it' : 'them'}.`,
  ];
}

/**
 * The sizes by which a model differs from the architecture that it is named after, as options: with them and the name its
 * file is read the same way again.
 */
export function ownSizes(config: ModelConfigBase): Partial<LayoutOptions> {
  const family = familyNamed(config);
  const sizes = config as unknown as Sizes;
  const names = differing(family, config.arch, sizes, {}).filter((name) =>
    family.layout?.telling.includes(name),
  );
  return Object.fromEntries(names.map((name) => [name, sizes[name]]));
}

/** What to do where the file contradicts the architecture that was named. */
function otherwise(
  { family, layout }: ReadableFamily,
  arch: string,
  sizes: Sizes,
  options: LayoutOptions,
): string {
  const fitting = Object.keys(family.architectures).find(
    (name) => differing(family, name, sizes, options).length === 0,
  );
  if (fitting !== undefined) return `They are those of ${fitting}: name it, or leave \`arch\` out.`;
  const names = differing(family, arch, sizes, options);
  const given = names.every((name) => layout.telling.includes(name))
    ? asOptions(names, sizes)
    : nearest({ family, layout }, sizes, options);
  return `Name another architecture, or give the sizes of the file as options${given}.`;
}

/** For a message: what to give for the architecture that differs the least in sizes that can be given. */
function nearest({ family, layout }: ReadableFamily, sizes: Sizes, options: LayoutOptions): string {
  const [first] = Object.keys(family.architectures)
    .map((arch) => ({ arch, names: differing(family, arch, sizes, options) }))
    .filter(({ names }) => names.every((name) => layout.telling.includes(name)))
    .sort((a, b) => a.names.length - b.names.length);
  if (first === undefined) return '';
  return asOptions(['arch', ...first.names], { ...sizes, arch: first.arch });
}

/** `, such as ...`, in the order in which a command line would have them. */
function asOptions(names: readonly string[], values: Readonly<Record<string, unknown>>): string {
  if (names.length === 0) return '';
  const said = names.map((name) => {
    const value = values[name];
    return `\`${name}\` ${listedSize(value)}`;
  });
  return `, such as ${said.join(' ')}`;
}

/** Names of the sizes in which the file contradicts the options, or the architecture's defaults. */
function differing(family: Family, arch: string, sizes: Sizes, options: LayoutOptions): string[] {
  const said = options as Readonly<Record<string, unknown>>;
  const defaults = family.architectures[arch] ?? {};
  return Object.entries(sizes).flatMap(([name, size]) => {
    const expected = said[name] ?? defaults[name];
    return expected === undefined || shown(expected) === shown(size) ? [] : [name];
  });
}

/** Where the file contradicts the options, or the architecture's defaults where there is no option. */
function differences(family: Family, arch: string, sizes: Sizes, options: LayoutOptions): string[] {
  const said = options as Readonly<Record<string, unknown>>;
  const defaults = family.architectures[arch] ?? {};
  return differing(family, arch, sizes, options).map(
    (name) =>
      `\`${name}\` is ${shown(sizes[name])}, expected ${shown(said[name] ?? defaults[name])}`,
  );
}

/** As an option has it. */
const listedSize = (value: unknown): string =>
  Array.isArray(value) ? value.join(',') : shown(value);

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);
