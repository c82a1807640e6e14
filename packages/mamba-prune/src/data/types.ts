/** What every data set looks like to the rest of the program. No tensors here: plain typed arrays. */
import type { Interpolation, Preprocessing } from '../preparation/preprocessing.js';

/** Facts about a data set that a model or a report needs. */
export interface DatasetInfo {
  readonly name: string;
  /** Class names; the label is the index. */
  readonly classes: readonly string[];
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** Per channel, of pixels scaled to 0..1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The folder that it was read from, absolute; undefined where it came from a package. */
  readonly dir?: string;
  /** How the images were made of the files, which a model's file records. */
  readonly preprocessing?: Preprocessing | undefined;
  /** Anything that makes results differ from published ones; belongs into every report. */
  readonly note?: string;
}

/** A crop drawn per sample from (seed, epoch, sample index); areas are shares of the image. */
export interface RandomCrop {
  readonly seed: number;
  readonly epoch: number;
  /** Smallest and largest share of the image's area, in (0, 1]. */
  readonly scale: readonly [number, number];
  /** Smallest and largest width / height. */
  readonly ratio: readonly [number, number];
  /** What resizes it; see `AugmentOptions`. Default `libvips`. */
  readonly resize?: CropResize | undefined;
}

/** What resizes a random crop: the rule of Pillow, byte for byte, or libvips with roundings of its own. */
export type CropResize = 'pillow' | 'libvips';

/** Images of one part of a data set, by their numbers from 0 to `length - 1`. */
export interface ImageSplit {
  /** How many images there are. */
  readonly length: number;
  /** @returns the number of an image's class, an integer from 0 */
  label(index: number): number;
  /**
   * Reads images in the order of their numbers; several reads may be under way at once.
   * @returns uint8 planar pixels, [indices.length, channels, height, width], in an array of their own: whoever asked
   *   changes them, and moves their memory to another thread
   */
  read(indices: ArrayLike<number>): Uint8Array | Promise<Uint8Array>;
  /**
   * As `read`, but each image is a random resized crop taken at full resolution while decoding. Without it a random
   * resized crop is taken out of the pixels of `read`.
   */
  readCropped?(indices: ArrayLike<number>, crop: RandomCrop): Promise<Uint8Array>;
}

export interface Dataset {
  readonly info: DatasetInfo;
  readonly train: ImageSplit;
  readonly test: ImageSplit;
  /**
   * The same images prepared for another model; left out where they are pixels already and stay as they are.
   */
  prepared?(preprocessing: Preprocessing): Dataset;
}

/**
 * What opening a data set gives. Where `info` leaves them out, its name is that of the data set, `dir` the folder that was
 * given, and `preprocessing` what new models of the data set record.
 */
export interface OpenedDataset {
  readonly info: Omit<DatasetInfo, 'name'> & { readonly name?: string };
  readonly train: ImageSplit;
  readonly test: ImageSplit;
  /** As `Dataset.prepared`; where images are of any size, it has to be there. */
  prepared?(preprocessing: Preprocessing): OpenedDataset;
}

/** Called with one line of text about something the user should know. */
export type NoteHandler = (note: string) => void;

export interface OpenDatasetOptions {
  /** Folder of the data; needed by all but fashion-mnist, whose official files may be in one. */
  dir?: string;
  /** Of images of any size: side of the square that they are made, in pixels. Default 224, tiny-imagenet 64. */
  imageSize?: number;
  /** Of images of any size: how they are resized. Default `bilinear`. */
  interpolation?: Interpolation;
  /** Of images of any size: share of the shorter side that the crop leaves. Default 0.875, tiny-imagenet 1. */
  cropShare?: number;
  /**
   * Of images of folders: training images whose shorter side is longer are resized to this, once, and kept in the cache;
   * random crops are cut out of the copies. At least `imageSize`. By default every crop is cut out of the original.
   */
  cachedSize?: number;
  /** Default: $XDG_CACHE_HOME or ~/.cache, then mamba-prune. */
  cacheDir?: string;
  onNote?: NoteHandler;
  /** Called while files are checked (image folders). */
  onProgress?: (done: number, total: number) => void;
}

/** What `data verify` found. */
export interface VerifyReport {
  readonly name: string;
  readonly dir: string | undefined;
  /** True if there are no problems. */
  readonly ok: boolean;
  readonly classes: readonly string[];
  /** Images per class. */
  readonly counts: { readonly train: readonly number[]; readonly test: readonly number[] };
  /** Files with their sizes; empty for image folders, which have too many. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}
