// The selective scan of a grid in four directions, added up: what VMamba mixes positions with.
import { isGradEnabled } from '../autograd.js';
import { callOperator } from '../dispatch.js';
import { ShapeError } from '../errors.js';
import { atLeastFloat32, needsFloat32 } from '../nn/precision.js';
import { kernelLimits, selectiveScan } from '../nn/functional.js';
import type { Tensor } from '../tensor.js';
import { hasFusedBranches } from './fused-branches.js';

/** Positions lie row by row in all of them. The directions: rows, columns, rows from the end, columns from the end. */
export interface CrossScanInputs {
  /** Shape [batch, height * width, channels]. */
  readonly u: Tensor;
  /** Step sizes of each direction, before the bias and softplus: shape [4, batch, height * width, channels]. */
  readonly delta: Tensor;
  /** Shape [4 * channels, states], direction after direction; negative for a stable system. */
  readonly A: Tensor;
  /** Shape [batch, height * width, 4, states]. */
  readonly B: Tensor;
  /** Shaped like B. */
  readonly C: Tensor;
  /** Skip connection D u, shape [4 * channels]. */
  readonly D: Tensor;
  /** Added to delta before softplus, shape [4 * channels]. */
  readonly deltaBias: Tensor;
}

/**
 * Four selective scans of a grid (`F.selectiveScan`), each in an order of its own, and their sum (Liu et al. 2024,
 * https://arxiv.org/abs/2401.10166, section 4.2). One operator that reads the grid in each order in place, with gradients for
 * every input. (On a GPU with gradients and more than 32 states, or of a kind without kernels of ours, `crossScanInParts`.)
 *
 * @param height - rows of the grid
 * @returns shaped like u
 * @throws ShapeError, or Error of the operator, if the shapes do not go together
 */
export function crossScan(inputs: CrossScanInputs, height: number): Tensor {
  const { u, delta, A, B, C, D, deltaBias } = inputs;
  if (u.device !== 'cpu' && !hasKernels(inputs)) return crossScanInParts(inputs, height);
  const given = [u, delta, A, B, C, D, deltaBias];
  const wide = needsFloat32(u) ? given.map(atLeastFloat32) : given;
  return (callOperator('mamba_prune::cross_scan', ...wide, height) as Tensor).to(u.dtype);
}

/** Whether a GPU's kernels take the inputs. */
function hasKernels({ u, A }: CrossScanInputs): boolean {
  if (!hasFusedBranches(u.device)) return false;
  return !isGradEnabled() || A.ndim !== 2 || A.size(1) <= kernelLimits.gpuStates;
}

/** The same as four scans of reordered copies, on every device. */
export function crossScanInParts(inputs: CrossScanInputs, height: number): Tensor {
  const { u, delta, A, B, C, D, deltaBias } = inputs;
  const [length = 0, channels = 0] = u.shape.slice(1);
  if (!(height > 0) || length % height !== 0) {
    throw new ShapeError(
      `crossScan: got height ${height} for ${length} positions, expected a divisor.`,
    );
  }
  const width = length / height;
  const part = (of: Tensor, k: number): Tensor => of.narrow(0, k * channels, channels);
  const scans = [0, 1, 2, 3].map((k) => {
    const along = (x: Tensor): Tensor => {
      const ordered = k % 2 === 0 ? x : turned(x, height, width);
      return k < 2 ? ordered : ordered.flip(1);
    };
    const { y } = selectiveScan(
      along(u),
      along(delta.select(0, k)),
      part(A, k),
      along(B.select(2, k)),
      along(C.select(2, k)),
      { D: part(D, k), deltaBias: part(deltaBias, k), deltaSoftplus: true },
    );
    const forward = k < 2 ? y : y.flip(1);
    return k % 2 === 0 ? forward : turned(forward, width, height);
  });
  const [first, ...others] = scans as [Tensor, ...Tensor[]];
  return others.reduce((sum, y) => sum.add(y), first);
}

/** [batch, rows * columns, features], row by row, to the same column by column. */
function turned(x: Tensor, rows: number, columns: number): Tensor {
  const [batch = 0, length = 0, features = 0] = x.shape;
  return x.reshape(batch, rows, columns, features).transpose(1, 2).reshape(batch, length, features);
}
