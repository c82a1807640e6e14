/** What a training comes to. */
import type { EpochMetrics } from './metrics-lines.js';

export interface TrainResult {
  /** False if the signal stopped it: resume to go on. */
  readonly finished: boolean;
  /** Epochs done. */
  readonly epochs: number;
  readonly steps: number;
  /** The last epoch's line; undefined if none is done. */
  readonly last: EpochMetrics | undefined;
  readonly best: BestEpoch | undefined;
  /** Which weights the model has now and model.safetensors holds, where the training did not end early (`untilEpoch`). */
  readonly weights: 'model' | 'ema';
  /** Of those weights; null if nothing was evaluated. */
  readonly valAccuracy: number | null;
  readonly seconds: number;
  /** The finished model, or the checkpoint to resume from. */
  readonly path: string;
}

export interface BestEpoch {
  readonly epoch: number;
  readonly accuracy: number;
}
