/** What the curves of a run are drawn from: its phases, epochs and steps. */
import type { UnitNorms } from 'mamba-prune/pruning';

export interface PhaseData {
  readonly name: string;
  /** Epochs that it is to have. */
  readonly epochs: number;
  /** Epochs of the run before it. */
  readonly before: number;
  /** Of those, the ones that its own are counted on from. None by default. */
  readonly epochsBefore?: number;
  /** Of the pruning, counted from 1; 0 for a dense training. */
  readonly round: number;
  readonly kind: 'train' | 'regularize' | 'finetune';
}

export interface EpochPoint {
  readonly phase: string;
  /** Counted from 1 within the training. */
  readonly epoch: number;
  /** Counted over the whole run. */
  readonly x: number;
  readonly loss: number;
  readonly trainAccuracy: number;
  readonly valLoss: number | null;
  readonly valAccuracy: number | null;
  readonly emaAccuracy?: number | null;
  readonly lr: number;
  readonly gradNorm?: number;
  readonly imagesPerSecond: number;
  readonly seconds: number;
  /** Of RSST: λ, and the sum of the norms without it. */
  readonly rsst?: { readonly lambda: number; readonly value: number };
  readonly unitNorms?: UnitNormsPoint;
}

// The page draws them, which imports no code that needs Node.js.
export type { KindNorms, NormSpread } from 'mamba-prune/pruning';

/** Other versions may have other norms. */
export interface UnitNormsPoint extends Omit<UnitNorms, 'norm'> {
  readonly norm: string;
}

export interface StepPoint {
  readonly x: number;
  readonly loss: number;
  readonly lr: number;
}
