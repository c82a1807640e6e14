// What is beyond the sizes of our kernels, by operators that know no such limit: slower, and the same numbers.
import { cat } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import type { SelectiveScanOptions } from './functional.js';
import { atLeastFloat32 } from './precision.js';

/** Sizes up to which there are kernels; operators that do a whole block or branch stop there. */
export const kernelLimits = {
  /** Taps of `causalConv1d`. */
  convTaps: 8,
  /** States per channel of `selectiveScan` with gradients on a GPU. */
  gpuStates: 32,
} as const;

/** `causalConv1d` for any number of taps. @param x - shape [batch, length, channels] */
export function causalConvOfAnyWidth(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null | undefined,
  silu: boolean,
): Tensor {
  const [, length = 0, channels = 0] = x.shape;
  const taps = weight.size(2);
  // Zeros on both sides; the results after the last position look into the future.
  const whole = ops.conv1d(x.transpose(1, 2), weight, bias ?? null, 1, taps - 1, 1, channels);
  const y = whole.narrow(2, 0, length).transpose(1, 2).contiguous();
  return silu ? ops.silu(y) : y;
}

type Scanned = { readonly y: Tensor; readonly lastState: Tensor };

/**
 * A scan as the sum of scans over some of the states each: the recurrence mixes no two states, and the output is linear in
 * each, so that the skip connection belongs to one part and the gate to all.
 *
 * @param scan - `selectiveScan`, which is called once for each part
 * @param most - states of a part
 */
export function scanInParts(
  scan: (A: Tensor, B: Tensor, C: Tensor, options: SelectiveScanOptions) => Scanned,
  [A, B, C]: readonly [Tensor, Tensor, Tensor],
  { D, initialState, ...options }: SelectiveScanOptions,
  most: number,
): Scanned {
  const states = A.size(1);
  const parts: Scanned[] = [];
  for (let first = 0; first < states; first += most) {
    const count = Math.min(most, states - first);
    const part = (tensor: Tensor, dim: number): Tensor => tensor.narrow(dim, first, count);
    parts.push(
      scan(part(A, 1), part(B, 2), part(C, 2), {
        ...options,
        D: first === 0 && D ? D : null,
        initialState: initialState ? part(initialState, 2) : null,
      }),
    );
  }
  const y = parts.map((part) => atLeastFloat32(part.y)).reduce((sum, part) => sum.add(part));
  return {
    y: y.to((parts[0] as Scanned).y.dtype),
    lastState: cat(
      parts.map(({ lastState }) => lastState),
      2,
    ),
  };
}
