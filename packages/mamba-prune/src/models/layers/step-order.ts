// The channels of an SSM in another order, which changes nothing but the speed of a scan in low precision: it computes the
// factors exp(dt A) of 32 neighbouring channels in as few instructions as the largest |dt A| among them allows.
import { type Tensor, cat, tensor } from '@mamba-prune/libtorch';
import { scanPlaces } from './scan-weights.js';

/** What depends on the order of the channels. */
export interface ChannelWeights {
  /** Shape [2 dInner, dModel]. */
  readonly inProj: Tensor;
  /** Shape [dModel, dInner]. */
  readonly outProj: Tensor;
  /** For each direction, as `scanWeights` gives them. */
  readonly scans: readonly Tensor[];
}

/** The same SSM with its channels by the largest |dt A| of either direction, as far as the bias of dt tells. */
export function inStepOrder({ inProj, outProj, scans }: ChannelWeights): ChannelWeights {
  const order = byReach(scans);
  return {
    inProj: cat(inProj.chunk(2, 0).map((half) => half.indexSelect(0, order))),
    outProj: outProj.indexSelect(1, order),
    scans: scans.map((weight, i) =>
      weight.indexSelect(i % scanPlaces.count === scanPlaces.xProj ? 1 : 0, order),
    ),
  };
}

function byReach(scans: readonly Tensor[]): Tensor {
  const reaches = scans.flatMap((aLog, i) => {
    if (i % scanPlaces.count !== scanPlaces.aLog) return [];
    const bias = scans[i - scanPlaces.aLog + scanPlaces.dtBias] as Tensor;
    return [aLog.amax(1).exp().mul(bias.softplus()).toNumbers()];
  });
  const first = reaches[0] ?? [];
  const most = first.map((_, c) => Math.max(...reaches.map((reach) => reach[c] ?? 0)));
  const order = most.map((_, c) => c).sort((a, b) => (most[a] ?? 0) - (most[b] ?? 0) || a - b);
  return tensor(order, { dtype: 'int64' });
}
