// Helpers of the models' tests.
import { fileURLToPath } from 'node:url';
import { type Tensor, loadSafetensors } from '@mamba-prune/libtorch';
import type { ImageModel } from '../image-model.js';

export interface GoldenCase {
  get(name: string): Tensor;
  /** The tensors whose names begin with `prefix`, without it. */
  part(prefix: string): Map<string, Tensor>;
}

/** A parity case that a peer under benchmarks/peers wrote with its command `golden`. */
export function goldenCase(file: string): GoldenCase {
  const path = fileURLToPath(new URL(`../fixtures/${file}`, import.meta.url));
  const { tensors } = loadSafetensors(path);
  return {
    get(name) {
      const found = tensors.get(name);
      if (!found) throw new Error(`${file} has no ${name}`);
      return found;
    },
    part: (prefix) =>
      new Map(
        Array.from(tensors)
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, value]) => [name.slice(prefix.length), value]),
      ),
  };
}

/** ||a - b|| / ||b||, in double precision. */
export function relativeDifference(a: Tensor, b: Tensor): number {
  const [x, y] = [a.detach().to('float64'), b.detach().to('float64')];
  return x.sub(y).norm().item() / y.norm().item();
}

export function totalMacs(model: ImageModel): number {
  return model.macs().reduce((sum, { macs }) => sum + macs, 0);
}
