/**
 * Data-parallel training: every worker has the whole model, takes its share of every batch, and
 * averages the gradients with the others, so that all weights stay equal.
 *
 * The batch size is that of all workers together: a run sees the same batches however many they are,
 * and can go on with another number. Random numbers of augmentation belong to samples; mixup and cutmix
 * pair images within a worker's share, or of the whole batch where the images lie on the device. Dropout draws from rank 0's generator there, and elsewhere from
 * one that is seeded at every step, so that a checkpoint needs the state of no other rank.
 */
import { distributed, manualSeed, noGrad, type Tensor } from '@mamba-prune/libtorch';
import { Random, Stage } from '../../data/random.js';
import { UsageError } from '../../errors.js';
import type { BatchSize, BatchSource } from '../batches.js';
import type { ResolvedTrainOptions } from '../train-options.js';
import type { Trainable } from '../trainable.js';

/** @throws UsageError if a worker would get no image of a batch */
export function checkShares(batchSize: number, workers: number): void {
  if (batchSize >= workers) return;
  throw new UsageError(
    `train: got batches of ${batchSize} images for ${workers} workers, expected at least one image each. ` +
      'Choose a larger batch (the batch size counts the images of all workers), or fewer workers.',
  );
}

interface Place {
  readonly options: ResolvedTrainOptions;
  /** Done so far. */
  readonly steps: number;
}

interface StepEnd {
  /** Mean over the batch. */
  loss: number;
  /** Whether rank 0 finds that a checkpoint is due. */
  isDue: boolean;
}

export class DataParallel {
  readonly rank: number;
  readonly workers: number;
  /** Rank 0: writes files and shows progress. */
  readonly leads: boolean;
  #buckets: distributed.GradientBuckets | undefined;
  #joined = false;
  readonly #stop = new AbortController();
  readonly #random = new Random();

  readonly #group: distributed.ProcessGroup;
  readonly #own: AbortSignal | undefined;

  /** @param own - stops all workers, after the step in which it is aborted in any of them */
  constructor(group: distributed.ProcessGroup, own: AbortSignal | undefined) {
    this.#group = group;
    this.#own = own;
    this.rank = group.rank;
    this.workers = group.workers;
    this.leads = group.rank === 0;
  }

  /** Aborted for all workers at the same place. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get share(): { readonly rank: number; readonly workers: number } {
    return { rank: this.rank, workers: this.workers };
  }

  /** Averages the model's gradients from now on. */
  attach(model: Trainable): void {
    const parameters = model.parameters().filter((tensor) => tensor.requiresGrad);
    this.#buckets = new distributed.GradientBuckets(this.#group, parameters);
  }

  /** All workers have the same state: sums are over all of them from now on. */
  joined(): void {
    this.#joined = true;
  }

  /** Sums over all workers. Rank 0's own while it begins, when the others wait for it. */
  readonly reduce = (values: readonly number[]): number[] =>
    this.#joined ? this.#group.sum(values) : [...values];

  /** Before each step, captured or not: a graph draws from the generator that it finds, but cannot seed it. */
  seedStep({ options, steps }: Place): void {
    if (this.rank === 0) return;
    const random = this.#random.seed(options.seed, Stage.worker, steps, this.rank);
    manualSeed(random.below(2 ** 31));
  }

  /** Before the forward pass. */
  beginGradients({ size, globalSize = size }: BatchSize): void {
    // The loss is a mean over the share: weighted so, the sum is the mean over the whole batch.
    this.#buckets?.begin(size / globalSize);
  }

  /** After backward. */
  averageGradients(): void {
    this.#buckets?.finish();
  }

  /**
   * All workers' word on something that either none or all of them must do without.
   * @param own - why this worker cannot do it; undefined if it can
   * @returns why the first that cannot does not; undefined if all can
   */
  obstacle(own: string | undefined): string | undefined {
    const flags = Array.from({ length: this.workers }, (_, rank) =>
      Number(rank === this.rank && own !== undefined),
    );
    const all = this.#group.sum(flags);
    const first = all.findIndex((flag) => flag > 0);
    if (first === -1) return undefined;
    const reason = this.#group.broadcastText(own, first);
    return all.includes(0) ? `${reason} (rank ${first})` : reason;
  }

  /**
   * Until the GPUs are done, before the CPU waits for its own: it would wait for ever for a step of which
   * another worker's part is missing. All workers call it at the same places.
   */
  settle(device: string): void {
    this.#group.settle(device);
  }

  /** After the update: the batch's loss, and what all workers do next. */
  endStep({ size, globalSize = size }: BatchSize, { loss, isDue }: StepEnd): StepEnd {
    const [stop, due, mean] = this.#group.sum([
      Number(this.#own?.aborted === true),
      Number(this.leads && isDue),
      (loss * size) / globalSize,
    ]);
    if (stop) this.#abort();
    return { loss: mean ?? NaN, isDue: due !== 0 };
  }

  /** The same batches; before each one all workers agree on whether to stop. */
  inStep(source: BatchSource): BatchSource {
    const agree = () => {
      const [stop] = this.#group.sum([Number(this.#own?.aborted === true)]);
      if (stop) this.#abort();
    };
    return {
      batchesPerEpoch: source.batchesPerEpoch,
      samplesPerEpoch: source.samplesPerEpoch,
      async *epoch(epoch, startBatch) {
        for await (const batch of source.epoch(epoch, startBatch)) {
          agree();
          yield batch;
        }
      },
    };
  }

  /** Rank 0's buffers for everyone: running statistics are those of a worker's share. */
  shareBuffers(model: Trainable): void {
    this.shareTensors([...model.namedBuffers().values()]);
  }

  /** Copies rank 0's tensors into everyone's. */
  shareTensors(tensors: Iterable<Tensor>): void {
    noGrad(() => {
      for (const tensor of tensors) {
        const sent = tensor.isContiguous ? tensor : tensor.contiguous();
        this.#group.broadcast(sent).wait();
        if (sent === tensor) continue;
        tensor.copy_(sent);
        sent.dispose();
      }
    });
  }

  /** Rank 0's text, for everyone. */
  shareText(text: string): string {
    return this.#group.broadcastText(text);
  }

  dispose(): void {
    this.#buckets?.dispose();
  }

  #abort(): void {
    this.#stop.abort(this.#own?.reason ?? 'another worker was stopped');
  }
}
