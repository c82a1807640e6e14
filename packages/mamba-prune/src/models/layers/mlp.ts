// The second half of a block of the vision Mamba and of the ViT.
import { F, type Tensor, nn } from '@mamba-prune/libtorch';
import type { GroupMember } from '../groups.js';
import type { GroupProbe } from '../image-model.js';
import { Branch } from './residual.js';

/** fc2(gelu(fc1(x))), with the exact GELU; the units are the neurons between the two layers. */
export class Mlp extends Branch {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;

  readonly names: readonly [fc1: string, fc2: string];

  /** @param names - of the two layers in the state dict */
  constructor(dModel: number, hidden: number, names: readonly [fc1: string, fc2: string]) {
    super();
    this.names = names;
    this.fc1 = this.child(names[0], new nn.Linear(dModel, hidden));
    this.fc2 = this.child(names[1], new nn.Linear(hidden, dModel));
  }

  override get reader(): nn.Linear {
    return this.fc2;
  }

  override inner(x: Tensor, probe?: GroupProbe): Tensor {
    const { weight, bias } = this.fc1;
    const activated = F.biasGelu(F.linear(x, weight), bias as Tensor);
    const y = probe?.gate(activated, 2) ?? activated;
    probe?.output(y, 2);
    return y;
  }

  /** Where neuron k appears, for a module that is called `prefix` in the state dict. */
  members(prefix: string): GroupMember[] {
    const [fc1, fc2] = this.names;
    return [
      { parameter: `${prefix}.${fc1}.weight`, dim: 0, scored: true, regularized: true },
      { parameter: `${prefix}.${fc1}.bias`, dim: 0 },
      { parameter: `${prefix}.${fc2}.weight`, dim: 1, scored: true, consumer: true },
    ];
  }

  /** Multiply-accumulates for `length` positions. */
  macs(length: number): number {
    return length * (this.fc1.weight.numel + this.fc2.weight.numel);
  }
}
