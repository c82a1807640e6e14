/** What the models of a report made of test images, and where two of them differ. */

export interface EvaluationData {
  readonly dataset: string;
  readonly classes: readonly string[];
  /** Images that were classified. */
  readonly images: number;
  /** Of how many there are. */
  readonly available: number;
  readonly runs: readonly {
    readonly run: string;
    readonly accuracy: number;
    /** Row by row, [true class][predicted class]. */
    readonly confusion: readonly number[];
  }[];
  readonly pairs: readonly DisagreementData[];
}

/** A dense and a pruned model on the same images. */
export interface DisagreementData {
  readonly dense: string;
  readonly pruned: string;
  /** Images of how many kinds. */
  readonly counts: {
    readonly bothRight: number;
    readonly bothWrong: number;
    readonly onlyDense: number;
    readonly onlyPruned: number;
  };
  /** Images on which the two differ, the surest first. */
  readonly examples: readonly DisagreementExample[];
}

export interface DisagreementExample {
  /** In the test split. */
  readonly index: number;
  readonly label: number;
  readonly dense: { readonly predicted: number; readonly probability: number };
  readonly pruned: { readonly predicted: number; readonly probability: number };
  /** data: URI of a PNG. */
  readonly image: string;
}
