import { F, type Tensor, nn } from '@mamba-prune/libtorch';
import type { GroupProbe } from '../image-model.js';

/** Linear, GELU, linear: the second half of a block of the vision Mamba and of the ViT. */
export class Mlp extends nn.Module {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;

  /** @param names - of the two layers in the state dict */
  constructor(dModel: number, hidden: number, names: readonly [string, string]) {
    super();
    this.fc1 = this.child(names[0], new nn.Linear(dModel, hidden));
    this.fc2 = this.child(names[1], new nn.Linear(hidden, dModel));
  }

  /** The parameters as `F.mlpBranch` takes them. */
  branchWeights(): Tensor[] {
    const { fc1, fc2 } = this;
    return [fc1.weight, fc1.bias as Tensor, fc2.weight, fc2.bias as Tensor];
  }

  /** The activated hidden neurons, shape [batch, length, hidden]. */
  inner(x: Tensor, probe?: GroupProbe): Tensor {
    const { weight, bias } = this.fc1;
    const activated = F.biasGelu(F.linear(x, weight), bias as Tensor);
    const y = probe?.gate(activated, 2) ?? activated;
    probe?.output(y, 2);
    return y;
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  override forward(x: Tensor, probe?: GroupProbe): Tensor {
    return this.fc2.forward(this.inner(x, probe));
  }
}
