// Which matrices Muon orthogonalises together: a few large products in place of many small ones.
import { fromTypedArray } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';

export type MatrixShape = readonly [rows: number, columns: number];

/** Matrices that go through the iteration as one tensor of three dimensions. */
export interface MatrixStack {
  /** Numbers of the matrices. */
  readonly members: readonly number[];
  /** Of the stack: the largest of its members, of which the others are filled up with zeros. */
  readonly rows: number;
  readonly columns: number;
  /** Whether all members have this shape. */
  readonly isEven: boolean;
}

/** Matrices of equal shape together. */
export function evenStacks(shapes: readonly MatrixShape[]): MatrixStack[] {
  const found = new Map<string, number[]>();
  shapes.forEach((shape, i) => {
    const key = shape.join();
    const members = found.get(key);
    if (members) members.push(i);
    else found.set(key, [i]);
  });
  return Array.from(found.values(), (members) => {
    const [rows, columns] = shapes[members[0] as number] as MatrixShape;
    return { members, rows, columns, isEven: true };
  });
}

/** Sizes up to this ratio share a stack. */
const spread = 4;

/**
 * Matrices that have one size in common together, whatever the other is: those of a pruned model, where each block has
 * widths of its own. Rows or columns of zeros change nothing of the others (the Gram matrix has zeros there, and so have
 * its powers), and lying on its side changes nothing either. Where that makes no fewer stacks, equal shapes stay together.
 */
export function paddedStacks(shapes: readonly MatrixShape[]): MatrixStack[] {
  const even = evenStacks(shapes);
  const counts = new Map<number, number>();
  for (const { rows, columns, members } of even) {
    for (const size of new Set([rows, columns])) {
      counts.set(size, (counts.get(size) ?? 0) + members.length);
    }
  }
  const common = ([rows, columns]: MatrixShape): number =>
    (counts.get(rows) ?? 0) > (counts.get(columns) ?? 0) ? rows : columns;
  const found = new Map<string, { members: number[]; rows: number; columns: number }>();
  shapes.forEach((shape, i) => {
    const columns = common(shape);
    const rows = columns === shape[1] ? shape[0] : shape[1];
    const key = `${columns} ${Math.ceil(Math.log(rows) / Math.log(spread) - 1e-9)}`;
    const stack = found.get(key) ?? { members: [], rows: 0, columns };
    stack.members.push(i);
    stack.rows = Math.max(stack.rows, rows);
    found.set(key, stack);
  });
  if (found.size >= even.length) return even;
  return Array.from(found.values(), ({ members, rows, columns }) => ({
    members,
    rows,
    columns,
    isEven: members.every((i) => shapes[i]?.[0] === rows && shapes[i][1] === columns),
  }));
}

/** Where the numbers of uneven matrices lie in their stack. The tensors are kept until the optimizer goes. */
export class StackPlaces {
  readonly #gather: Tensor;
  readonly #scatter: Tensor;
  readonly #zero: Tensor;
  readonly #sizes: readonly number[];
  readonly #stack: MatrixStack;
  /** One number for each matrix, shape [members, 1, 1]. */
  readonly factors: Tensor;

  /**
   * @param shapes - of the members, in their order
   * @param factors - one number for each of them
   */
  constructor(
    stack: MatrixStack,
    shapes: readonly MatrixShape[],
    factors: readonly number[],
    { device, dtype }: Pick<Tensor, 'device' | 'dtype'>,
  ) {
    const { rows, columns } = stack;
    const total = shapes.reduce((sum, [r, c]) => sum + r * c, 0);
    // What is not a number of a matrix is the zero behind all of them.
    const gather = new Int32Array(shapes.length * rows * columns).fill(total);
    const scatter = new Int32Array(total);
    let from = 0;
    shapes.forEach(([r, c], member) => {
      const lies = c !== columns;
      for (let i = 0; i < r * c; i++) {
        const [y, x] = [Math.floor(i / c), i % c];
        const place = (member * rows + (lies ? x : y)) * columns + (lies ? y : x);
        gather[place] = from + i;
        scatter[from + i] = place;
      }
      from += r * c;
    });
    this.#stack = stack;
    this.#sizes = shapes.map(([r, c]) => r * c);
    this.#gather = fromTypedArray(gather, [gather.length], { device }).keep();
    this.#scatter = fromTypedArray(scatter, [total], { device }).keep();
    this.factors = fromTypedArray(Float64Array.from(factors), [factors.length, 1, 1], { device })
      .to(dtype)
      .keep();
    this.#zero = fromTypedArray(new Float32Array(1), [1], { device }).to(dtype).keep();
  }

  /** All numbers of the matrices behind each other, and a zero. */
  flat(matrices: readonly Tensor[]): Tensor {
    return ops.cat([...matrices.map((matrix) => matrix.reshape(-1)), this.#zero]);
  }

  /** @param flat - as `flat` makes it @returns shape [members, rows, columns] */
  stacked(flat: Tensor): Tensor {
    const { members, rows, columns } = this.#stack;
    return ops.indexSelect(flat, 0, this.#gather).reshape(members.length, rows, columns);
  }

  /** The matrices out of their stack, each with its numbers behind each other. */
  unstacked(stack: Tensor): Tensor[] {
    return ops.splitWithSizes(ops.indexSelect(stack.reshape(-1), 0, this.#scatter), this.#sizes);
  }
}
