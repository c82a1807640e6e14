// What the blocks of several families consist of: x = x + branch(norm(x)), once or twice.
import { F, type Tensor, nn, scope } from '@mamba-prune/libtorch';
import type { GroupProbe } from '../image-model.js';

/** What is added to the residual stream: prunable units, and a linear layer that reads them. */
export abstract class Branch extends nn.Module {
  /** The layer that reads the units. */
  abstract get reader(): nn.Linear;

  /**
   * @param x - shape [batch, length, dModel]
   * @param probe - is shown the units
   * @returns the units, shape [batch, length, units]
   */
  abstract inner(x: Tensor, probe?: GroupProbe): Tensor;

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  override forward(x: Tensor, probe?: GroupProbe): Tensor {
    return this.reader.forward(this.inner(x, probe));
  }
}

export interface ResidualOptions {
  /** Chance that a sample goes without the branch (Huang et al. 2016, arXiv 1603.09382); 0 outside of training. */
  readonly dropPath: number;
  readonly probe: GroupProbe | undefined;
}

/**
 * x + branch(norm(x)).
 * @param x - shape [batch, length, dModel]; the result has the same shape and type
 * @param norm - may give another type, which the branch then has
 */
export function residual(
  x: Tensor,
  norm: { forward(x: Tensor): Tensor },
  branch: Branch,
  { dropPath, probe }: ResidualOptions,
): Tensor {
  // Each branch frees what it made before the next begins, which then finds that memory in the cache.
  return scope(() => {
    probe?.stream(x, 2);
    const units = branch.inner(norm.forward(x), probe);
    if (dropPath === 0 && units.dtype === x.dtype) return branch.reader.forward(units, x); // adds x in the same pass
    return x.add(F.dropPath(branch.reader.forward(units), dropPath, true));
  });
}
