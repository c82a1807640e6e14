/** What the page needs to run a model in the browser. */
import type { Preprocessing } from 'mamba-prune/preparation';

/** What the page needs to try a model, besides the model. */
export interface TryOutModel {
  readonly run: string;
  readonly classes: readonly string[];
  readonly channels: number;
  /** Of the square images that it takes, in pixels. */
  readonly side: number;
  /** How pictures are made so. */
  readonly preprocessing: Preprocessing;
  /** Test images; empty where the data set is not at hand. */
  readonly samples: readonly TryOutSample[];
}

export interface TryOutSample {
  /** Class number. */
  readonly label: number;
  /** data: URI of a PNG of the size that the model takes. */
  readonly image: string;
}
