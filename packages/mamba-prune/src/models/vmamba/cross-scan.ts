// The selective scan of a grid in four directions, added up: rows, columns, and both from their ends.
import { F, type Tensor } from '@mamba-prune/libtorch';

export interface CrossScanInputs {
  /** Shape [batch, side * side, channels], the positions row by row, as in everything here. */
  readonly u: Tensor;
  /** Step sizes before bias and softplus, for each direction: shape [4, batch, side * side, channels]. */
  readonly delta: Tensor;
  /** Shape [4 channels, states], negative. */
  readonly A: Tensor;
  /** Shape [batch, side * side, 4, states]. */
  readonly B: Tensor;
  readonly C: Tensor;
  /** Skip, shape [4 channels]. */
  readonly D: Tensor;
  /** Shape [4 channels]. */
  readonly deltaBias: Tensor;
}

/** The positions in the order of a direction: 0 rows, 1 columns, 2 rows from the end, 3 columns from the end. */
function along(x: Tensor, direction: number): Tensor {
  const [batch = 0, length = 0, features = 0] = x.shape;
  const side = Math.sqrt(length);
  const ordered =
    direction % 2 === 0
      ? x
      : x.reshape(batch, side, side, features).transpose(1, 2).reshape(batch, length, features);
  return direction < 2 ? ordered : ordered.flip(1);
}

/** The inverse of `along`: each step is its own. */
function back(y: Tensor, direction: number): Tensor {
  const forward = direction < 2 ? y : y.flip(1);
  return direction % 2 === 0 ? forward : along(forward, 1);
}

/** @returns the sum of the four scans, shape [batch, side * side, channels] */
export function crossScan({ u, delta, A, B, C, D, deltaBias }: CrossScanInputs): Tensor {
  const channels = u.size(2);
  const part = (of: Tensor, k: number): Tensor => of.narrow(0, k * channels, channels);
  const scans = [0, 1, 2, 3].map((k) => {
    const { y } = F.selectiveScan(
      along(u, k),
      along(delta.select(0, k), k),
      part(A, k),
      along(B.select(2, k), k),
      along(C.select(2, k), k),
      { D: part(D, k), deltaBias: part(deltaBias, k), deltaSoftplus: true },
    );
    return back(y, k);
  });
  const [first, ...others] = scans as [Tensor, ...Tensor[]];
  return others.reduce((sum, y) => sum.add(y), first);
}
