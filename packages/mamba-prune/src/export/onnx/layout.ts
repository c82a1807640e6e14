// Where batch and length are in a sequence. With the length first, the positions that a Scan takes one by
// one lie together in memory, and no runtime has to move them; LinearAttention wants the batch first.
import type { Dim, GraphBuilder, Shape, Value } from './graph-builder.js';
import { ints, transpose } from './operators.js';

export class Layout {
  /** The dimension of the length: 0 or 1. */
  readonly axis: 0 | 1;
  readonly #zeros = new Map<string, Value>();

  /** @param images - the graph's input, whose first dimension is the batch */
  constructor(
    private readonly g: GraphBuilder,
    private readonly images: Value,
    first: 'length' | 'batch',
  ) {
    this.axis = first === 'length' ? 0 : 1;
  }

  get batch(): Dim {
    return this.images.shape[0] as Dim;
  }

  /** [batch, channels, length] to a sequence. */
  fromChannels(g: GraphBuilder, x: Value): Value {
    return transpose(g, x, this.axis === 0 ? [2, 0, 1] : [0, 2, 1]);
  }

  /** A sequence to [batch, channels, length]. */
  toChannels(g: GraphBuilder, x: Value): Value {
    return transpose(g, x, this.axis === 0 ? [1, 2, 0] : [0, 2, 1]);
  }

  /** Shape of a constant that is the same for every image of a batch. */
  constantShape(length: number, width: number): readonly number[] {
    return this.axis === 0 ? [length, 1, width] : [1, length, width];
  }

  /** Zeros of shape [batch, ...rest], made once for all that ask for the same. */
  zeros(rest: readonly number[]): Value {
    const key = rest.join('x');
    const found = this.#zeros.get(key);
    if (found) return found;
    const g = this.g.at(`zeros.${key}`);
    const batch = g.node(
      'Shape',
      [this.images],
      { type: 'int64', shape: [1] },
      {
        attributes: { start: { int: 0 }, end: { int: 1 } },
      },
    );
    const shape: Shape = [this.batch, ...rest];
    const sizes = g.node(
      'Concat',
      [batch, ints(g, 'sizes', rest)],
      { type: 'int64', shape: [shape.length] },
      {
        attributes: { axis: { int: 0 } },
      },
    );
    const made = g.node('ConstantOfShape', [sizes], { type: 'float32', shape });
    this.#zeros.set(key, made);
    return made;
  }
}
