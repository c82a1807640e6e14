/** How workers begin: rank 0 anew or from its checkpoint, the others with its state. */
import { type DType, optim, scope, type Tensor, zeros } from '@mamba-prune/libtorch';
import { begin } from '../beginning.js';
import { ResumeError } from '../errors.js';
import type { EpochMetrics } from '../metrics-lines.js';
import { stableJson } from '../options.js';
import type { Session } from '../session.js';
import type { BestEpoch } from '../train-result.js';
import type { DataParallel } from './data-parallel.js';

type Described = readonly [name: string, dtype: DType, shape: readonly number[]];

/** Everything that has to be equal or become so, beside the tensors. */
interface Shared {
  /** Which a worker must have by itself: options, data, model. */
  readonly same: Readonly<Record<string, string>>;
  readonly epoch: number;
  readonly batch: number;
  readonly steps: number;
  readonly lr: number;
  readonly best: BestEpoch | null;
  readonly last: EpochMetrics | null;
  readonly emaUpdates: number;
  readonly scalars: optim.OptimizerScalars;
  readonly slots: readonly Described[];
}

/**
 * Weights, buffers, averages, the optimizer's state and the place in the training become rank 0's.
 * @throws ResumeError if this worker has other options, data or model than rank 0; else as `begin`
 */
export function beginTogether(session: Session, parallel: DataParallel): void {
  if (parallel.leads) begin(session);
  const text = parallel.shareText(parallel.leads ? JSON.stringify(describe(session)) : '');
  const shared = JSON.parse(text) as Shared;
  checkSame(session, shared, parallel.rank);
  parallel.shareTensors(session.model.stateDict().values());
  parallel.shareTensors(session.ema?.averages.values() ?? []);
  const { state } = session.hooks;
  parallel.shareTensors(state?.tensors.values() ?? []);
  scope(() => {
    const own = session.optimizer.stateDict().tensors;
    const slots = shared.slots.map(([name, dtype, shape]): [string, Tensor] => [
      name,
      own.get(name) ?? zeros(shape, { dtype, device: session.device }),
    ]);
    const tensors = new Map(slots);
    parallel.shareTensors(tensors.values());
    if (!parallel.leads) session.optimizer.loadStateDict({ tensors, scalars: shared.scalars });
  });
  if (!parallel.leads) {
    const { epoch, batch, steps, lr, best, last } = shared;
    Object.assign(session, { epoch, batch, steps, lr, best, last });
    session.ema?.restore(shared.emaUpdates);
    session.weightsChanged();
    state?.begin();
  }
  parallel.joined();
}

function describe(session: Session): Shared {
  const { epoch, batch, steps, lr, best, last, ema, optimizer } = session;
  const { tensors, scalars } = optimizer.stateDict();
  return {
    same: facts(session),
    epoch,
    batch,
    steps,
    lr,
    best,
    last,
    scalars,
    emaUpdates: ema?.updates ?? 0,
    slots: describeTensors(tensors),
  };
}

function describeTensors(tensors: ReadonlyMap<string, Tensor>): Described[] {
  return [...tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
}

function facts(session: Session): Record<string, string> {
  return {
    // Rank 0 alone decides when a checkpoint is due.
    options: stableJson({ ...session.options, checkpointEvery: null }),
    data: stableJson(session.dataFacts()),
    model: stableJson(describeTensors(session.model.stateDict())),
  };
}

function checkSame(session: Session, { same }: Shared, rank: number): void {
  const own = facts(session);
  const differing = Object.keys(same).filter((name) => same[name] !== own[name]);
  if (differing.length === 0) return;
  throw new ResumeError(
    differing,
    `train: rank ${rank} has other ${differing.join(' and ')} than rank 0: got ` +
      `${differing.map((name) => clip(own[name])).join('; ')}, expected ` +
      `${differing.map((name) => clip(same[name])).join('; ')}. Start all workers with the same command and data.`,
  );
}

const clip = (text = ''): string => (text.length > 300 ? `${text.slice(0, 300)}...` : text);
