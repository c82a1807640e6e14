// What a pruning run tells its caller on the way.
import type { TrainHooks } from '../../training/hooks.js';
import type { PruningRecord, RoundRecord } from './record.js';

/** One training of a run. */
export interface PrunePhase {
  /** Its name in metrics.jsonl: `rsst-2`, `round-2`. */
  readonly name: string;
  readonly kind: 'regularize' | 'finetune';
  /** Counted from 1. */
  readonly round: number;
  readonly rounds: number;
  /** Its own. */
  readonly epochs: number;
  /** Of the same training in the phase before, which its epochs are counted on from: 0 but under lr-through. */
  readonly epochsBefore: number;
}

export type PhaseHooks = Omit<TrainHooks, 'saveModel'>;

export interface PruneHooks {
  /**
   * How far a pass over images is; `what` is 'before' or 'after the cut' where accuracy is measured, 'scores'
   * where units are scored, 'before compensation', 'compensation' and 'batch normalisation'.
   */
  readonly onEvaluate?: ((what: string, done: number, total: number) => void) | undefined;
  /** Before units are scored, which takes a while where it needs images. */
  readonly onScore?: ((round: number, rounds: number) => void) | undefined;
  /** Before latencies are measured, for a budget of one. */
  readonly onLatency?: (() => void) | undefined;
  /** After each cut, before the training that follows. */
  readonly onCut?: ((round: RoundRecord, record: PruningRecord) => void) | undefined;
  /** When a round is over. */
  readonly onRound?: ((round: RoundRecord, record: PruningRecord) => void) | undefined;
  /** Before each training: hooks for it, in place of the run's. */
  readonly onPhase?: ((phase: PrunePhase) => PhaseHooks) | undefined;
}
