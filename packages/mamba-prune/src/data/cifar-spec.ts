/** The two CIFAR data sets (Krizhevsky 2009) as the official "binary" and "python" versions store them. */

/** What both versions have: an archive, and in it a folder of files. */
export interface CifarVersion {
  /** The folder inside the archive. */
  readonly folder: string;
  readonly archive: string;
  readonly url: string;
  readonly md5: string;
  readonly train: readonly string[];
  readonly test: readonly string[];
}

/** One pickled dict per file. */
export interface CifarPython extends CifarVersion {
  /** The file with the names of the classes. */
  readonly meta: string;
  /** Key of the labels in a file of images. */
  readonly labels: string;
  /** Key of the names in `meta`. */
  readonly names: string;
}

/** One data set; what is not in `python` is of the binary version. */
export interface CifarSpec extends CifarVersion {
  readonly name: string;
  readonly title: string;
  readonly python: CifarPython;
  readonly recordsPerTrainFile: number;
  readonly recordsPerTestFile: number;
  /** Label bytes before the pixels of a record; the last one is the label used. */
  readonly labelBytes: number;
  readonly classes: readonly string[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}
