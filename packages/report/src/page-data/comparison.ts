/** A comparison of methods, and what its picture shows. */
import type { MethodResult, MethodTest, RunResult } from 'mamba-prune/workflows';
import type { ReachedShares } from 'mamba-prune/internal';
import type { RepeatCommand } from './run.js';

export interface ComparisonData {
  readonly id: string;
  readonly arch: string;
  readonly dataset: string;
  readonly targets: readonly string[];
  /** Rates are shares of this cost; undefined for shares of the units. */
  readonly budget: 'macs' | 'params' | 'file' | undefined;
  /** Rates that were asked for as amounts, in words: `3M`. */
  readonly amountsAt: readonly { readonly rate: number; readonly amount: string }[];
  readonly seeds: readonly number[];
  readonly epochs: number;
  readonly finetuneEpochs: number;
  readonly regularizedEpochs: number;
  /** Dense models that were not trained for the comparison; one is shared by all seeds. */
  readonly givenDense: number;
  /** Rates of single groups by name, whatever the rate that is compared; 0 for those that stay whole. */
  readonly ownRates: Readonly<Record<string, number>>;
  /** Whether the weights that read removed units make up for them at the cut. */
  readonly isCompensated: boolean;
  /** What is gone at the rates that limits of the cut kept from being reached. */
  readonly shortOfRates: readonly ReachedShares[];
  readonly done: number;
  readonly planned: number;
  readonly repeat: RepeatCommand | undefined;
  readonly methods: readonly ComparedMethod[];
  readonly runs: readonly ComparedRun[];
  readonly tests: readonly ComparedTest[];
}

/** Other versions may have other methods. */
export interface ComparedMethod extends Omit<MethodResult, 'method'> {
  readonly method: string;
}

/** Of a run what pages show of it; what is before and after the cut, the page of the run itself has. */
export interface ComparedRun extends Omit<
  RunResult,
  'method' | 'beforeCut' | 'afterCut' | 'shortOfRate'
> {
  readonly method: string;
}

/** `pHolm` is null in results of older versions too. */
export interface ComparedTest extends Omit<MethodTest, 'methods' | 'deviation'> {
  readonly methods: readonly [string, string];
}

/** What the picture of a comparison shows. */
export interface PicturedComparison {
  readonly methods: readonly Pick<
    ComparedMethod,
    'method' | 'rate' | 'accuracy' | 'deviation' | 'macs'
  >[];
  readonly runs: readonly Pick<ComparedRun, 'method' | 'rate' | 'seed' | 'accuracy'>[];
  /** Rates that are not those that were typed, which have many digits. */
  readonly amountsAt?: readonly { readonly rate: number }[] | undefined;
}

/** Over a picture that stands alone. */
export interface PictureHeading {
  readonly title: string;
  readonly lines: readonly string[];
}
