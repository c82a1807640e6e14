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
}

/** Images of one part of a data set. */
export interface ImageSplit {
  readonly length: number;
  label(index: number): number;
  /** @returns uint8 planar pixels, [indices.length, channels, height, width]; the caller owns them */
  read(indices: ArrayLike<number>): Uint8Array | Promise<Uint8Array>;
  /** As read, but each image is a random resized crop taken at full resolution while decoding. */
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

/** Called with one line of text about something the user should know. */
export type NoteHandler = (note: string) => void;

export interface OpenDatasetOptions {
  /** Folder of the data; needed by all but fashion-mnist, whose official files may be in one. */
  dir?: string;
  /** Side of the square images made from image folders; default 224, tiny-imagenet 64. */
  imageSize?: number;
  /** Of image folders: how they are resized. Default `bilinear`. */
  interpolation?: Interpolation;
  /** Of image folders: share of the shorter side that the crop leaves; 0.875 unless given, tiny-imagenet 1. */
  cropShare?: number;
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
