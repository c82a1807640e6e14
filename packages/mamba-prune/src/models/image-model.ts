import type { CopyPart, DType, Tensor, nn } from '@mamba-prune/libtorch';
import type { ProductPrecision } from '@mamba-prune/libtorch/kernels';
import type { PruningGroup } from './groups.js';
import type { KeptProducts } from './layers/low-products.js';

/** Multiply-accumulates of one part of a model for one image. */
export interface MacsEntry {
  readonly name: string;
  readonly macs: number;
}

/**
 * Looks into a forward pass at the units of prunable groups. Groups whose units pass through no one
 * place (those of kind `state` and `dt_rank`) are not shown.
 */
export interface UnitProbe {
  /**
   * Where the whole contribution of a unit passes: the result takes the tensor's place, so that
   * multiplying a unit by 0 here equals removing it. Called once per place: twice for a channel that
   * is scanned in both directions, and for one behind which a norm takes a mean over the units.
   * @param dim - axis of the units; it is `group.size * unitSize` long
   */
  gate?(group: string, x: Tensor, dim: number): Tensor;
  /**
   * What the units give to the layer that reads them: the gated scan before out_proj, the activated
   * neurons before fc2 ...
   */
  output?(group: string, y: Tensor, dim: number): void;
  /**
   * The residual stream just before the layer that reads the units adds to it, shown before `output`. Only where the
   * result is their plain sum: not in networks that normalise or rectify in between.
   * @param dim - axis of the stream's features
   */
  stream?(group: string, x: Tensor, dim: number): void;
}

/** A probe as one group's layer calls it. */
export interface GroupProbe {
  gate(x: Tensor, dim: number): Tensor;
  output(y: Tensor, dim: number): void;
  stream(x: Tensor, dim: number): void;
}

/** The probe of one group; undefined without a probe, so that layers do nothing then. */
export function probeOf(probe: UnitProbe | undefined, group: string): GroupProbe | undefined {
  return (
    probe && {
      gate: (x, dim) => probe.gate?.(group, x, dim) ?? x,
      output: (y, dim) => probe.output?.(group, y, dim),
      stream: (x, dim) => probe.stream?.(group, x, dim),
    }
  );
}

/** How much each unit counts in the mean and variance of a norm over the units; `UnitNorm` is such a norm. */
export interface UnitWeights {
  /**
   * Weighs the units from now on.
   * @returns the share, 0 to 1, by which each unit counts, shape [units]: 1 for all at first. It belongs to the norm and is
   *   to be changed in place; no file has it.
   */
  weigh(): Tensor;
  /** Lets all units count alike again, as in a model that was read from a file. */
  unweigh(): void;
  /** Whether units may count differently. */
  readonly isWeighing: boolean;
}

/** Copies of weights as a GPU's operators want them; a model uses them until they are disposed of. */
export interface PackedWeights {
  /** What is to be copied whenever a weight has changed. */
  readonly parts: readonly CopyPart[];
  /** Parameters whose other copies nothing reads. */
  readonly masters: readonly Tensor[];
  /** What is made of the copies; to be called whenever they have been refreshed. */
  finish?(): void;
  dispose(): void;
}

/** What every model has in common, so that training, pruning and export need not know which it is. */
export interface ImageModel extends nn.Module {
  /** JSON from which `createModelFromConfig` builds the same model again. */
  readonly config: ModelConfigBase;

  /**
   * @param images - normalised, shape [batch, channels, height, width]; float32, or of 16 bits, which the
   *   activations then have too, while the classifier and what it averages over stay float32
   * @param probe - is shown the units of the groups on their way
   * @returns logits, shape [batch, classes]
   */
  forward(images: Tensor, probe?: UnitProbe): Tensor;

  /**
   * Only of models with operators of their own on a GPU; undefined for sizes that these do not take. The copies hold
   * nothing yet.
   * @param fixed - whether the weights stay as they are until the copies are disposed of: inference is
   *   faster where that is known
   */
  packWeights?(dtype: DType, fixed?: boolean): PackedWeights | undefined;

  /**
   * Only of models whose blocks are one operator each on a CPU: these multiply in a precision at inference in float32,
   * within the tasks that the result runs until it is disposed of. Undefined for sizes that the operator does not take.
   */
  multiplyIn?(precision: ProductPrecision): KeptProducts | undefined;

  /** Every prunable dimension, in the order of the network. */
  pruningGroups(): PruningGroup[];

  /**
   * Only of models in which units count in each other's normalisation, so that units which are zero would still count: the
   * norm that takes mean and variance over the units of a group. Undefined for a group without one.
   */
  normOver?(group: string): UnitWeights | undefined;

  /** Multiply-accumulates of one image, counted from the shapes the parameters really have. */
  macs(): MacsEntry[];

  /** A fresh model of the same architecture whose named groups have other widths. */
  withWidths(widths: Readonly<Record<string, number>>): ImageModel;
}

export interface ModelConfigBase {
  readonly family: string;
  readonly arch: string;
  readonly imageSize: number;
  readonly channels: number;
  readonly numClasses: number;
  readonly widths: Readonly<Record<string, number>>;
}
