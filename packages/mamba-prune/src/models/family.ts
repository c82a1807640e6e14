/**
 * What the program knows of a family of architectures: one object, in the family's own folder. families.ts lists
 * those that come with the program; `registerFamily` adds a user's own.
 */
import type { Value } from '../onnx/graph-builder.js';
import type { ScanOp } from '../onnx/choices.js';
import type { Layers } from '../onnx/layers.js';
import type { ImageModel, ModelConfigBase } from './image-model.js';
import type { Layout } from './import/layout.js';
import type { ModelOptions } from './model-options.js';
import type { PublishedWeights } from './published-weights.js';

/** Shape of every tensor by name. */
export type ModelShapes = Map<string, readonly number[]>;

/** Values that tell architectures apart, by the names of options. */
export type Sizes = Readonly<Record<string, string | number | readonly number[]>>;

/** Which values an option takes. A number always has an end: what lies beyond would hang, hours later maybe. */
export type OptionValues =
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'number'; readonly min: number; readonly below: number }
  | { readonly type: 'number'; readonly above: number; readonly max: number }
  /** A list such as 3,4,6,3. */
  | { readonly type: 'integers'; readonly min: number; readonly max: number }
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  | { readonly type: 'switch' };

/** An option of a model, as the command line shows it. */
export interface ModelOption {
  readonly values: OptionValues;
  /** Such as `--d-model <n>`; an option without one is only of the library. */
  readonly flag?: string;
  /** What it is, for the help: `width of the residual stream`. */
  readonly help?: string;
  /** What help says holds without it for a new model. Default `as --arch`. */
  readonly whenNew?: string;
  /** The same for a file of another program. Default `as the shapes say`. */
  readonly whenRead?: string;
  /** What it is called in names of models such as `mamba_nano (d_model 128)`; without one it is not shown there. */
  readonly label?: string;
}

export type ModelOptionTable = Readonly<Record<string, ModelOption>>;

/** A kind of prunable units. Kinds of the same name in several families are one. */
export interface GroupKind {
  /** What its units are called in sentences: `SSM channels`. */
  readonly units: string;
  /** What reports call it, by language; English stands for what there is not. */
  readonly label: { readonly en: string; readonly zh?: string };
  /** Flag of its own rate: `--ssm-rate`. */
  readonly rateFlag: string;
  /** Cut only when it is named. Default `false`. */
  readonly optional?: boolean;
}

/** How a family is written as an ONNX graph. */
export interface OnnxGraph<C extends ModelConfigBase> {
  /**
   * @param image - normalised, [batch, channels, side, side]
   * @returns logits, [batch, classes], float32
   */
  build(config: C, layers: Layers, image: Value, choices: { readonly scanOp: ScanOp }): Value;
  /** Whether it scans, so that the ways to write a scan make a difference. Default `false`. */
  readonly scans?: boolean;
  /** Whether its layers are convolutions, which onnxruntime does not quantise dynamically. Default `false`. */
  readonly isConvolutional?: boolean;
}

/** A family of architectures: everything that differs between families, in one place. */
export interface Family<C extends ModelConfigBase = ModelConfigBase> {
  /** What configurations and files call it: a word of lower-case letters, digits and `_`. */
  readonly name: string;
  /** What people call one, in help and in messages: `Mamba`, `ViT`. */
  readonly title: string;
  /** Its architectures by name, each with the sizes that its name stands for. */
  readonly architectures: Readonly<Record<string, Sizes>>;
  /** Its options beside `numClasses`, `imageSize` and `channels`, which every family has: data sets decide them. */
  readonly options: ModelOptionTable;
  /** The kinds of its pruning groups. */
  readonly kinds: Readonly<Record<string, GroupKind>>;

  /**
   * What `prune` and its like score units by where nothing says otherwise and there are real images: the name of an
   * importance. Default `taylor`.
   */
  readonly importance?: string;

  /** What a configuration names only where it has another value, by the names of options. */
  readonly usual?: Readonly<Record<string, unknown>>;

  /**
   * The configuration of a dense model, for families whose options are not simply fields of it. By default `checkConfig`
   * gets the architecture's sizes and the options over them, for images of 3 x 32 x 32 of 10 classes and with no widths.
   * @param options - those that were given; they have been checked to be the family's own
   * @throws UsageError, TooLargeError for values that make no model
   */
  denseConfig?(arch: string, options: ModelOptions): C;

  /**
   * A configuration that was read from a file or made by hand.
   * @throws UsageError naming what is wrong
   */
  checkConfig(value: unknown): C;

  /** A randomly initialised model of any widths. */
  create(config: C): ImageModel;

  /**
   * Shape of every tensor, buffers included, with nothing allocated: files are held against it before they are
   * read. Without it a model is made to look at.
   */
  shapes?(config: C): ModelShapes;

  /**
   * Multiply-accumulates of one image, the sum of the model's `macs()`, with nothing allocated: a budget is solved by
   * counting many widths. Without it models are made and counted.
   */
  macs?(config: C): number;

  /** How state dicts of other programs become models; without it they are not recognised. */
  readonly layout?: Layout;

  /** Weights of its architectures at known addresses: `pretrained:NAME`. The first of an architecture are its usual ones. */
  readonly published?: readonly PublishedWeights[];

  /** Without it models are not exported to ONNX. */
  readonly onnx?: OnnxGraph<C>;

  /** What `inspect` shows beside sizes, by the names of its JSON: the scan of a Mamba. */
  summary?(config: C): Readonly<Record<string, string>>;

  /**
   * What has to be loaded before a file of this family can be: a package or a path, for the message where it is
   * not. Taken from `--plugin` unless said.
   */
  readonly module?: string;
}
