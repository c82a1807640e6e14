// What a family says of weights that others have published for its architectures.
import type { Interpolation } from '../preparation/preprocessing.js';

/** How images are prepared for weights, where no file beside them says it. */
export interface PublishedPreparation {
  /** Per channel, of pixels from 0 to 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly interpolation: Interpolation;
  /** Side of the cut-out over the shorter side that images are resized to. */
  readonly cropShare: number;
}

/** Weights of an architecture that can be downloaded from a known address. */
export interface PublishedWeights {
  /** What is typed behind `pretrained:`; of the first ones of an architecture its name. */
  readonly name: string;
  readonly arch: string;
  /** What they have beside the sizes of the architecture: `{ stride: 8 }`. `imp --mamba_pretrained` takes those that have what it was told. */
  readonly options?: Readonly<Record<string, string | number>>;
  /** `hf:owner/name:file`, or the http or https address of a file. */
  readonly address: string;
  /** What they were trained on at last, as data sets are called here: `imagenet`. */
  readonly dataset: string;
  readonly classes: number;
  /** As published, of the test images of the data set; a share of 1. */
  readonly accuracy: number;
  /** Side in pixels of the images that the accuracy was measured with. */
  readonly imageSize: number;
  /** Of the file, as its server shows it: rounded. Left out where it is not known before the download. */
  readonly bytes?: number;
  /** As the hub spells it. */
  readonly license: string;
  /** The page on which accuracy and address stand. */
  readonly source: string;
  /** Left out where a file beside the weights says it. */
  readonly preparation?: PublishedPreparation;
}

/** As most programs prepare images of ImageNet for models of 224 px: the shorter side to 256, bicubic, the centre cut out. */
export const imagenetPreparation: PublishedPreparation = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  interpolation: 'bicubic',
  cropShare: 0.875,
};

/** What all weights of a table have that were trained on ImageNet-1k. */
export const onImagenet = { dataset: 'imagenet', classes: 1000 } as const;
