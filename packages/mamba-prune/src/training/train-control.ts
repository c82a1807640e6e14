/** How a training is run: where it begins, stops and saves, and what it may use. */
import type { RunDescription } from './run-config.js';
import type { GraphBackend, Tensor, distributed } from '@mamba-prune/libtorch';

/** How a training is run; nothing here changes its result. */
export interface TrainControl {
  /** Stops after the step in progress, with a checkpoint. */
  signal?: AbortSignal | undefined;
  /**
   * true: go on from the run's last checkpoint. 'previous': if that is damaged, from the one before.
   * A run that was killed before its first checkpoint begins. Default false, which refuses a run that has
   * begun.
   */
  resume?: boolean | 'previous' | undefined;
  /**
   * With `resume`: begins anew if no checkpoint of a run that has begun can be read, the previous one
   * neither; what is left of them is kept in checkpoints/lost. Default false, which throws a CheckpointError.
   */
  restart?: boolean | undefined;
  /**
   * With `resume`: what config.json says anew, such as where the data lie now. It is written once nothing speaks against
   * going on.
   */
  described?: Partial<RunDescription> | undefined;
  /** Name of this training within a run of several (rounds); default 'train'. */
  phase?: string | undefined;
  /**
   * Ends after so many of the epochs, as the first part of the training that the options describe: with the
   * weights as they are, not their averages, and without a model file. Another phase goes on from the last
   * checkpoint (`continues`). Default: all epochs.
   */
  untilEpoch?: number | undefined;
  /**
   * Ends the phase after the first epoch at whose end this says so, as `untilEpoch` does; never later than that. Asked
   * with the weights of the epoch's end, before they are evaluated, and once more where the phase goes on from there:
   * it must say the same of the same weights.
   */
  endsWhen?: (() => boolean) | undefined;
  /** The rest of a training whose first part was another phase. */
  continues?: Continuation | undefined;
  /** JSON kept in the checkpoint (`readCheckpointInfo`): what is needed to build the model again. */
  extra?: unknown;
  /** Threads that prepare batches; default 0. */
  dataThreads?: number | undefined;
  /**
   * Trains with the other workers of this group, each on its share of every batch. All of them call
   * `train` with the same model, data and options; rank 0 alone writes, the others give a run that
   * `RunFolder.follow` made. The group stays the caller's to close, or to `fail` after an error.
   */
  group?: distributed.ProcessGroup | undefined;
  /**
   * Seconds after a checkpoint in which the end of an epoch writes no other one; default 20 for one worker on a GPU,
   * whose epochs may be shorter than that, else 0. The last epoch's, and one when it is stopped, are written always.
   */
  epochSaveSeconds?: number | undefined;
  /** Whether a GPU may be given the steps as one graph; default true. */
  graph?: boolean | undefined;
  /**
   * Whether batches are made on the model's device, from images that lie there where they fit; default:
   * on a GPU. Its random crops, flips and mixes are other ones than those of the host.
   */
  deviceData?: boolean | undefined;
  /** @internal Captures in place of the addon: for tests, which have no GPU. */
  graphBackend?: GraphBackend | undefined;
}

/**
 * Goes on where another phase ended (`TrainControl.untilEpoch`): at its epoch and step, with the optimizer's
 * state, the averages and the random generators of its last checkpoint. The options are those of both.
 * The model may have been cut in between; its weights are taken as they are.
 */
export interface Continuation {
  /** Name of that phase. */
  readonly phase: string;
  /**
   * What is left of a tensor that has the shape which a parameter had in that phase: its moments, its average.
   * By default the tensor itself.
   * @param parameter - its name
   */
  readonly cut?: ((parameter: string, tensor: Tensor) => Tensor) | undefined;
  /**
   * Whether what the weights got since that phase, beyond the cut, is added to their averages too. Default `false`: the
   * averages go on from where they were.
   */
  readonly averagesFollow?: boolean | undefined;
}
