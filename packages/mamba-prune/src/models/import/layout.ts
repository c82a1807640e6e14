// How a family lays its parameters out in state dicts of other programs; read.ts finds the one that a file is of. A layout
// also turns the names and forms of other programs into ours.
import type { Tensor } from '@mamba-prune/libtorch';
import type { Interpolation } from '../../preparation/preprocessing.js';
import type { ModelOptionTable, Sizes } from '../family.js';
import type { ImageModel, ModelConfigBase } from '../image-model.js';
import type { ModelOptions, ReadingOptions } from '../model-options.js';
import type { ClassifierNames } from './classifier-layers.js';
import type { FamilyCard } from './card.js';
import type { ModuleProblem } from './module-layers.js';
import type { PlacedModule } from './module-place.js';

/** Shape of every tensor by name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** What a caller may say of a state dict: widths are always read off it. */
export type LayoutOptions = Omit<ModelOptions, 'expand' | 'mlpRatio'> &
  ReadingOptions & {
    /** Name of the architecture. Default: the one that has the sizes of the file, or the closest to them. */
    readonly arch?: string | undefined;
  };

/** What the script that trained a model was called with, as far as its file says: texts, numbers and truth values. */
export type ScriptArguments = ReadonlyMap<string, string | number | boolean>;

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

/** The modules of a whole model that was pickled. */
export interface ModelModules {
  /** Those without weights and without modules in them: functions, poolings, what does nothing. */
  readonly functions: readonly PlacedModule[];
  /** All with weights, from the model itself, whose name is ''. */
  readonly parts: readonly PlacedModule[];
}

/** A model that a state dict is of, and the tensors to load into it. */
export interface ReadModel extends LayoutResult {
  /** Under the names of the model; those that were changed belong to the caller's scope. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** How one family lays its parameters out. */
export interface Layout {
  /** Whose files it reads, for the message where none is recognised: `a VisionTransformer of timm`. */
  readonly programs: string;
  /** The sizes that tell its architectures apart, by the names of options. */
  readonly telling: readonly string[];
  /** What no shape tells and a new model is never asked: see `ReadingOptions`. */
  readonly options?: ModelOptionTable;
  /** How the published models have their images resized, which a file that does not say it is taken to be of. */
  readonly interpolation?: Interpolation;
  /** What a config.json beside the weights says of it. */
  readonly card?: FamilyCard;
  /**
   * Of a whole model that was pickled: the first module that computes what no model here does.
   * @param config - of the model that was read
   */
  functions?(modules: ModelModules, config: ModelConfigBase): ModuleProblem | undefined;
  /**
   * Of a backbone that was pickled: whether a module without weights behind it gives the classifier what it would be given here.
   * @param config - of the model that was read
   */
  isIdleBehind?(module: PlacedModule, config: ModelConfigBase): boolean;
  /**
   * Changes the weights of a model so that its attentions scale their scores by these numbers.
   * @param scales - of every attention; undefined for what it does anyhow
   * @returns the attentions that were changed
   */
  scaleScores?(model: ImageModel, scales: readonly (number | undefined)[]): readonly number[];
  /** What the classifier is called; with it one that stands beside a backbone is found. */
  classifier?(shapes: Shapes): ClassifierNames;
  /** Whether a state dict is of this family, in whichever program's names; looks at telling names only. */
  recognises(shapes: Shapes): boolean;
  /**
   * @param args - for what no tensor tells
   * @param modules - of a whole model that was pickled, for the same
   * @throws FormatError if a tensor that every model of the family has is missing, or one tells of a model that
   *   there is not here; UsageError for options that the file contradicts
   */
  read(
    tensors: ReadonlyMap<string, Tensor>,
    options: LayoutOptions,
    args?: ScriptArguments,
    modules?: ModelModules,
  ): Reading;
}
