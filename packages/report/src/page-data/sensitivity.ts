/** What each part of a model loses when it alone is cut. */
export interface SensitivityData {
  /** Of the run, or the name of the file. */
  readonly id: string;
  /** What was cut together: `group`, `block` or `kind`. */
  readonly by: string;
  /** Shares that were removed, increasing. */
  readonly rates: readonly number[];
  readonly images: { readonly dataset: string; readonly split: string; readonly count: number };
  /** Whether every part has a point at every rate. */
  readonly finished: boolean;
  /** Of the whole model. */
  readonly loss: number;
  readonly accuracy: number;
  readonly parts: readonly SensitivityPartData[];
}

export interface SensitivityPartData {
  readonly name: string;
  readonly kinds: readonly string[];
  readonly units: number;
  readonly points: readonly {
    readonly rate: number;
    readonly loss: number;
    readonly accuracy: number;
  }[];
  /** Share that goes by the rates that a search found. */
  readonly cut?: number | undefined;
}
