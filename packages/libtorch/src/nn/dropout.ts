// Layers that leave something out at random in training.
import type { Tensor } from '../tensor.js';
import { dropPath, dropout } from './functional.js';
import { Module } from './module.js';

function checkProbability(where: string, p: number): void {
  if (!(p >= 0 && p <= 1)) {
    throw new RangeError(`${where}: got probability ${p}, expected one from 0 to 1.`);
  }
}

/** Zeroes elements with probability p in training and scales the rest by 1/(1-p). */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    this.p = p;
    checkProbability('Dropout', p);
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this.p, this.training);
  }
}

/** Stochastic depth: zeroes whole samples with probability p in training (arXiv:1603.09382). */
export class DropPath extends Module {
  readonly p: number;

  constructor(p = 0) {
    super();
    this.p = p;
    checkProbability('DropPath', p);
  }

  /** @param x - shape [batch, ...]: the branch that is added to the residual stream */
  forward(x: Tensor): Tensor {
    return dropPath(x, this.p, this.training);
  }
}
