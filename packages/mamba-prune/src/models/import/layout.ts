// State dicts of other programs: which model they are of, from the names and shapes of their tensors. Each family has a
// layout, which also turns the names and forms of other programs into ours.
import { FormatError, type Tensor } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { type FamilyName, checkModelOptions, familyNames, familyOf } from '../architectures.js';
import type { ModelOptions } from '../mamba/config.js';
import { listed } from '../config-checks.js';
import { mambaLayout } from '../mamba/import.js';
import { resnetLayout } from '../resnet/import.js';
import { vitLayout } from '../vit/import.js';
import type { VitPooling } from '../vit/config.js';

/** Shape of every tensor by name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** Values that tell architectures apart, under the names of `ModelOptions` and of the tables of defaults. */
export type Sizes = Readonly<Record<string, string | number | readonly number[]>>;

/** What no shape tells, and a new model is never asked. */
export interface UntoldOptions {
  /** ViT: width of one attention head. `heads` alone is enough where it leaves one possibility. */
  readonly headDim?: number | undefined;
  /** ViT: what the classifier reads; the class token unless the file tells otherwise. */
  readonly pooling?: VitPooling | undefined;
  /** ViT: what LayerNorm adds to the variance; what the program that wrote the file has by default. */
  readonly eps?: number | undefined;
  /** ViT: the MLP's activation; `gelu`, the exact one, is the only one there is here. */
  readonly activation?: string | undefined;
  /**
   * Resamples the positions for images of `imageSize`, where the file has them for another size: bicubic with
   * antialiasing, as timm does. Without it such a size is refused.
   */
  readonly resamplePositions?: boolean | undefined;
  /** Mamba: what weights of one direction are for, where `scan` is not said and the caller's models have one of these. */
  readonly oneDirection?: 'uni' | 'cross' | undefined;
  /**
   * ResNet with shortcuts without parameters (option A of He et al. 2016): where the channels of zeros are, on both
   * sides or at the end. `linear` as the name of the classifier means both sides.
   */
  readonly shortcutPadding?: 'both' | 'end' | undefined;
}

/** What a caller may say of a state dict: widths are always read off it. */
export type LayoutOptions = Omit<ModelOptions, 'expand' | 'mlpRatio'> &
  UntoldOptions & {
    /** Name of the architecture; found from the shapes where they make it certain. */
    readonly arch?: string | undefined;
  };

/** What a family reads off a state dict. */
export interface Reading {
  /** Sizes that the shapes tell. */
  readonly sizes: Sizes;
  /** Under our names and in our forms. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What was converted, in whole sentences. */
  readonly notes: readonly string[];
  /**
   * The configuration of a model of exactly these shapes.
   * @param arch - an architecture of the family
   */
  config(arch: string, options: LayoutOptions): LayoutResult;
}

export interface LayoutResult {
  readonly config: { readonly family: string };
  /** What no shape tells and nobody said, with the value taken, such as `heads 3`. */
  readonly assumed: readonly string[];
  /** What was taken for what reason, in whole sentences. */
  readonly notes: readonly string[];
}

/** A model that a state dict is of, and the tensors to load into it. */
export interface ReadModel extends LayoutResult {
  /** Under the names of the model; those that were changed belong to the caller's scope. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** How one family lays its parameters out. */
export interface Layout {
  /** The family's architectures, with what tells them apart. */
  readonly architectures: Readonly<Record<string, Sizes>>;
  /** The options of `UntoldOptions` that the family has. */
  readonly untold: readonly (keyof UntoldOptions)[];
  /** Whether a state dict is of this family, in whichever program's names; looks at telling names only. */
  recognises(shapes: Shapes): boolean;
  /**
   * @throws FormatError if a tensor that every model of the family has is missing, or one tells of a model that
   *   there is not here; UsageError for options that the file contradicts
   */
  read(tensors: ReadonlyMap<string, Tensor>, options: LayoutOptions): Reading;
}

const layouts: Readonly<Record<FamilyName, Layout>> = {
  mamba: mambaLayout,
  vit: vitLayout,
  resnet: resnetLayout,
};

/**
 * The model that a state dict is of.
 *
 * @param tensors - by the model's own names, without the prefixes of wrappers; they are never changed
 * @throws FormatError if no family has such names, or no model of it here such tensors
 * @throws UsageError if the architecture is not certain, if it does not have one of the options, or if
 *   what the caller says contradicts the shapes
 */
export function readModel(
  tensors: ReadonlyMap<string, Tensor>,
  options: LayoutOptions = {},
): ReadModel {
  const family = familyFromShapes(
    new Map(Array.from(tensors, ([name, { shape }]) => [name, shape])),
  );
  if (options.arch !== undefined && familyOf(options.arch) !== family) {
    throw new UsageError(
      `import: got \`arch\` '${options.arch}' for the weights of a ${family}, ` +
        `expected one of ${listed(familyNames[family].architectures)}`,
    );
  }
  const layout = layouts[family];
  const said = checkUntold(family, layout, options);
  const reading = layout.read(tensors, options);
  const arch = options.arch ?? certainArchitecture(family, layout, reading.sizes, options);
  checkModelOptions(arch, said);
  const problems = differences(layout, arch, reading.sizes, options);
  if (problems.length > 0) {
    throw new UsageError(
      `import: the weights are not those of ${arch} as asked for: ${problems.join('; ')}. ` +
        'Name another architecture, or give the sizes of the file as options.',
    );
  }
  const { config, assumed, notes } = reading.config(arch, options);
  return { config, assumed, notes: [...reading.notes, ...notes], tensors: reading.tensors };
}

const untoldNames = [
  'headDim',
  'pooling',
  'eps',
  'activation',
  'resamplePositions',
  'oneDirection',
  'shortcutPadding',
] as const satisfies readonly (keyof UntoldOptions)[];

/**
 * @returns the options that a new model has too
 * @throws UsageError for one that the family does not have
 */
function checkUntold(family: FamilyName, layout: Layout, options: LayoutOptions): ModelOptions {
  const foreign = untoldNames.filter(
    (name) => options[name] !== undefined && !layout.untold.includes(name),
  );
  if (foreign.length > 0) {
    throw new UsageError(
      `import: got the option ${foreign.map((name) => `\`${name}\``).join(', ')} for the weights of a ${family}, which has no such. Leave it out.`,
    );
  }
  const own: readonly string[] = ['arch', ...untoldNames];
  return Object.fromEntries(Object.entries(options).filter(([name]) => !own.includes(name)));
}

/** Whether shapes are those of a family, by telling names only. */
export function isKnownLayout(shapes: Shapes): boolean {
  return Object.values(layouts).some((layout) => layout.recognises(shapes));
}

function familyFromShapes(shapes: Shapes): FamilyName {
  const found = Object.entries(layouts).find(([, layout]) => layout.recognises(shapes));
  if (!found) {
    throw new FormatError(
      `import: got tensors ${listed([...shapes.keys()]) || '(none)'}, expected the names of ` +
        'a VisionTransformer of timm or torchvision, of a ViT of Hugging Face, of a ResNet of torchvision, timm, ' +
        'Hugging Face or kuangliu, or of the vision Mamba in PyTorch.',
    );
  }
  return found[0] as FamilyName;
}

const sizeFlags: Readonly<Record<FamilyName, string>> = {
  mamba: '`dModel`, `depth`, `dState`',
  vit: '`dModel`, `depth`',
  resnet: '`blocks`, `baseWidth`',
};

/** The one architecture that has the sizes of the file. */
function certainArchitecture(
  family: FamilyName,
  layout: Layout,
  sizes: Sizes,
  options: LayoutOptions,
): string {
  const names = Object.keys(layout.architectures);
  const fitting = names.filter((arch) => differences(layout, arch, sizes, options).length === 0);
  if (fitting.length === 1) return fitting[0] as string;
  const [otherwise] = names.filter((arch) => differences(layout, arch, sizes, {}).length === 0);
  if (fitting.length === 0 && otherwise !== undefined) {
    throw new UsageError(
      `import: the weights, which are those of ${otherwise}, are not as asked for: ` +
        `${differences(layout, otherwise, sizes, options).join('; ')}. Leave out what the file has otherwise.`,
    );
  }
  const telling = Object.keys(Object.values(layout.architectures)[0] ?? {})
    .filter((name) => sizes[name] !== undefined)
    .map((name) => `${name} ${shown(sizes[name])}`);
  throw new UsageError(
    `import: the weights are of a ${family} of ${telling.join(', ')}, which ` +
      `${fitting.length === 0 ? 'none' : 'more than one'} of ${names.join(', ')} has. ` +
      `Say which with \`arch\`, and give the sizes that differ from it (${sizeFlags[family]}).`,
  );
}

/** Where the file contradicts the options, or the architecture's defaults where there is no option. */
function differences(layout: Layout, arch: string, sizes: Sizes, options: LayoutOptions): string[] {
  const said = options as Readonly<Record<string, unknown>>;
  const defaults = layout.architectures[arch] ?? {};
  return Object.entries(sizes).flatMap(([name, size]) => {
    const expected = said[name] ?? defaults[name];
    return expected === undefined || shown(expected) === shown(size)
      ? []
      : [`${name} is ${shown(size)}, expected ${shown(expected)}`];
  });
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/**
 * Every way in which the tensors of a file differ from those of a model, one line each.
 * @param optional - whether the file may lack a tensor
 */
export function shapeProblems(
  expected: Shapes,
  got: Shapes,
  optional: (name: string) => boolean,
): string[] {
  const missing = [...expected.keys()].filter((name) => !got.has(name) && !optional(name));
  const unexpected = [...got.keys()].filter((name) => !expected.has(name));
  const wrong = Array.from(expected).flatMap(([name, shape]) => {
    const other = got.get(name);
    return other && shown(other) !== shown(shape)
      ? [`${name} is [${other.join(', ')}], expected [${shape.join(', ')}]`]
      : [];
  });
  return [
    ...(missing.length > 0 ? [`${missing.length} missing: ${listed(missing)}`] : []),
    ...(unexpected.length > 0 ? [`${unexpected.length} unexpected: ${listed(unexpected)}`] : []),
    ...wrong.slice(0, 8),
    ...(wrong.length > 8 ? [`${wrong.length - 8} more of the wrong shape`] : []),
  ];
}
