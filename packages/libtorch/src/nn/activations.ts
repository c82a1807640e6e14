import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** x * Phi(x), exact (erf) unless the tanh approximation is asked for. */
export class GELU extends Module {
  constructor(readonly approximate: 'none' | 'tanh' = 'none') {
    super();
  }

  forward(x: Tensor): Tensor {
    return ops.gelu(x, this.approximate);
  }
}

export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return ops.relu(x);
  }
}

/** x * sigmoid(x) */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return ops.silu(x);
  }
}
