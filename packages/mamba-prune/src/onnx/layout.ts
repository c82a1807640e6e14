// Where batch and length are in a sequence. With the length first, the positions that a Scan takes one by
// one lie together in memory, and no runtime has to move them; LinearAttention wants the batch first.
import type { Dim, GraphBuilder, Shape, Value } from './graph-builder.js';
import { ints, transpose } from './operators.js';

export class Layout {
  /** The dimension of the length: 0 or 1. */
  readonly axis: 0 | 1;
  readonly #zeros = new Map<string, Value>();
  #size: Value | undefined;
  #isOne: Value | undefined;

  readonly #g: GraphBuilder;
  readonly #images: Value;

  /** @param images - the graph's input, whose first dimension is the batch */
  constructor(g: GraphBuilder, images: Value, first: 'length' | 'batch') {
    this.#g = g;
    this.#images = images;
    this.axis = first === 'length' ? 0 : 1;
  }

  get batch(): Dim {
    return this.#images.shape[0] as Dim;
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
    const g = this.#g.at(`zeros.${key}`);
    const shape: Shape = [this.batch, ...rest];
    const sizes = g.node(
      'Concat',
      [this.#batchSize(), ints(g, 'sizes', rest)],
      { type: 'int64', shape: [shape.length] },
      {
        attributes: { axis: { int: 0 } },
      },
    );
    const made = g.node('ConstantOfShape', [sizes], { type: 'float32', shape });
    this.#zeros.set(key, made);
    return made;
  }

  /** Whether there is one image alone: a bool, made once. */
  isOneImage(): Value {
    const g = this.#g.at('batch');
    this.#isOne ??= g.node('Equal', [this.#batchSize(), ints(g, 'one', [1])], {
      type: 'bool',
      shape: [1],
    });
    return this.#isOne;
  }

  /** Number of images: int64 [1]. */
  #batchSize(): Value {
    const attributes = { start: { int: 0 }, end: { int: 1 } };
    this.#size ??= this.#g.node(
      'Shape',
      [this.#images],
      { type: 'int64', shape: [1] },
      { name: 'batch', attributes },
    );
    return this.#size;
  }
}
