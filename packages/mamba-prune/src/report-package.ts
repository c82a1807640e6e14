// Pages and pictures are made by a package of their own, @mamba-prune/report, which builds on this one. It is loaded
// by name when it is asked for, so that neither needs the other to be compiled or installed.
import type { CompareSizes } from './workflows/compare/budget.js';
import type { CompareResults } from './workflows/compare/results.js';

/** What the commands use of it; the package checks that it offers this. */
export interface ReportPackage {
  readonly writeReport: (options: ReportOptions, hooks?: ReportHooks) => Promise<ReportResult>;
  readonly startStudio: (options?: StudioOptions) => Promise<Studio>;
  readonly drawComparison: (
    results: CompareResults & Pick<CompareSizes, 'amountsAt'>,
    heading: PictureHeading,
  ) => Promise<ComparisonPicture>;
}

/** Test images that models are shown unless told otherwise. */
export const usualImages = 1000;

/** Where the studio is served unless told otherwise, and the last port that there is. */
export const usualPort = 8420;
export const lastPort = 65_535;

/** What stands over a picture. */
export interface PictureHeading {
  readonly title: string;
  readonly lines: readonly string[];
}

export interface ComparisonPicture {
  /** Text of an SVG file with a light ground. */
  readonly svg: string;
  /** The same as PNG, with twice as many pixels, for sharp text on every screen. */
  readonly png: Uint8Array;
}

export interface ReportOptions {
  /** Folders of runs, or folders that hold some. */
  readonly paths: readonly string[];
  /** File to write. By default `report.html` beside the runs. */
  readonly out?: string | undefined;
  /** Test images to classify with every model; 0 for none. Default `1000`. */
  readonly images?: number | undefined;
  /** Data set to use in place of the one that the runs name. */
  readonly dataset?: string | undefined;
  /** Its folder. By default the one that the runs name. */
  readonly data?: string | undefined;
  /** Batch sizes to time the models at. None by default. */
  readonly benchBatches?: readonly number[] | undefined;
  /** Puts the models themselves into the page, so that they can be tried there. Default `false`. */
  readonly withModels?: boolean | undefined;
  /**
   * Such as `cuda:0`; or what chooses it, called when there is a model to run: a page of curves and widths needs no libtorch.
   * Default `cpu`.
   */
  readonly device?: string | (() => string) | undefined;
  /** Stops it: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface ReportHooks {
  /** @param what - `images` while models are shown images, `bench` while they are timed */
  readonly onProgress?: ((what: string, done: number, total: number) => void) | undefined;
  /** Told of what was left out of the page, and why. */
  readonly onNote?: ((note: string) => void) | undefined;
}

export interface ReportResult {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  readonly runs: readonly string[];
  readonly comparisons: readonly string[];
  readonly notes: readonly string[];
}

export interface StudioOptions {
  /** Folder with runs, which may come later. By default `runs`, which need not be there. */
  readonly folder?: string | undefined;
  /** On 127.0.0.1; 0 for any that is free. Default `8420`. */
  readonly port?: number | undefined;
  /** Data set to take test images of, in place of the one that each model was trained on. */
  readonly dataset?: string | undefined;
  /** Its folder, in place of the one that the runs name. */
  readonly data?: string | undefined;
}

export interface Studio {
  /** Of the page: `http://127.0.0.1:8420/`. */
  readonly url: string;
  /** Ends the server, and the connections of pages that are open. */
  close(): Promise<void>;
}

const name = '@mamba-prune/report';

/**
 * @param user - what needs it, for the error
 * @throws Error saying how to install it, if it is not
 */
export async function loadReportPackage(user = 'pages need'): Promise<ReportPackage> {
  try {
    return (await import(name)) as ReportPackage;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Of this package itself, not of one that it needs.
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' && (error as Error).message.includes(name);
    if (!isMissing) throw error;
    throw new Error(
      `${user} the package ${name}, which is not installed (in a clone: not built). ` +
        `Run: npm install ${name} (in a clone: npm run build)`,
      { cause: error },
    );
  }
}
