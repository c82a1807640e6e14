// What blocks of the vision Mamba and of the ViT consist of: x = x + branch(norm(x)), twice.
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

/** x + branch(norm(x)). @param x - shape [batch, length, dModel]; the result has the same shape */
export function residual(
  x: Tensor,
  norm: nn.LayerNorm,
  branch: Branch,
  { dropPath, probe }: ResidualOptions,
): Tensor {
  // Each branch frees what it made before the next begins, which then finds that memory in the cache.
  return scope(() => {
    probe?.stream(x, 2);
    const units = branch.inner(norm.forward(x), probe);
    if (dropPath === 0) return branch.reader.forward(units, x); // adds x in the same pass
    return x.add(F.dropPath(branch.reader.forward(units), dropPath, true));
  });
}
