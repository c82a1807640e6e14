// Reading sizes off the shapes of a state dict.
import { FormatError } from '@mamba-prune/libtorch';
import type { Shapes } from './import-layout.js';

export class ShapeReader {
  constructor(
    readonly family: string,
    readonly shapes: Shapes,
  ) {}

  has(name: string): boolean {
    return this.shapes.has(name);
  }

  /**
   * Size of one dimension of a tensor.
   * @param ndim - dimensions that the tensor must have
   * @throws FormatError if the tensor is missing or has another number of dimensions
   */
  size(name: string, dim: number, ndim: number): number {
    const shape = this.shapes.get(name);
    if (!shape) {
      throw new FormatError(
        `import: got the weights of a ${this.family} without '${name}', which every ${this.family} has. Is the file complete?`,
      );
    }
    if (shape.length !== ndim) {
      throw new FormatError(
        `import: got '${name}' of shape [${shape.join(', ')}], expected ${ndim} dimensions`,
      );
    }
    return shape[dim] as number;
  }

  /** How many modules `prefix.0`, `prefix.1`, ... there are. */
  count(prefix: string): number {
    const indices = new Set<string>();
    for (const name of this.shapes.keys()) {
      if (!name.startsWith(`${prefix}.`)) continue;
      indices.add(name.slice(prefix.length + 1).split('.', 1)[0] as string);
    }
    let count = 0;
    while (indices.has(String(count))) count++;
    return count;
  }

  /**
   * Side in pixels of the images whose patches a position embedding [1, length, width] is for.
   * @param extra - positions that are no patches
   * @throws FormatError if the patches make no square
   */
  imageSize(patchSize: number, extra: number): number {
    const patches = this.size('pos_embed', 1, 3) - extra;
    const side = Math.sqrt(patches);
    if (!Number.isInteger(side) || side === 0) {
      throw new FormatError(
        `import: got a position embedding for ${patches} patches, expected a square number: only square images are supported`,
      );
    }
    return side * patchSize;
  }
}
