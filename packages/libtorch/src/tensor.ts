// The tensor.
import { DisposedError, ShapeError, TorchError } from './errors.js';
import { checkOptions } from './check-options.js';
import { type DType, type TypedArray, dtypes, isFloat, newTypedArray } from './dtype.js';
import * as ops from './generated/ops.js';
import { type Handle, native } from './native.js';
import { register, unregister } from './scope.js';

// The safety net for tensors that no scope and no dispose() frees.
const registry = new FinalizationRegistry<Handle>((handle) => {
  native.dispose(handle, true);
});

const freed =
  'Tensor: used after it was freed. A scope frees what is made in it: return it from the scope or call keep().';

/** What is known of a tensor whose values lie elsewhere. */
interface Loan {
  readonly device: string;
  readonly requiresGrad: boolean;
  /** Makes it again. */
  readonly restore: () => Tensor;
}

/** A tensor, or a number that stands for a tensor of that value. */
export type Operand = Tensor | number;

/** Nested arrays of numbers, as deep as the tensor has dimensions. */
export type NestedNumbers = number | NestedNumbers[];

/**
 * A libtorch tensor: n-dimensional values of one type on one device, with gradients.
 *
 * Methods are PyTorch's, in camelCase, and return new tensors; a trailing `_` means in place. Native
 * memory is freed by the enclosing `scope`, by `dispose()`, or at last by the garbage collector.
 */
export class Tensor {
  /** -1 without a native tensor: freed, or lent. */
  #handle: Handle;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #loan: Loan | undefined;

  private constructor(handle: Handle) {
    this.#handle = handle;
    registry.register(this, handle, this);
    register(this);
  }

  /** @internal Takes ownership of a handle. */
  static wrap(handle: unknown): Tensor {
    if (!Tensor.isHandle(handle)) {
      throw new TorchError('wrap', 'got an undefined tensor from libtorch, expected a result');
    }
    return new Tensor(handle);
  }

  /** @internal Whether a number names a tensor rather than being one. */
  static isHandle(value: unknown): value is Handle {
    return typeof value === 'number' && value >= 2 ** 51 && Number.isInteger(value);
  }

  /** @internal */
  get handle(): Handle {
    if (this.#handle < 0) this.recall();
    return this.#handle;
  }

  // -- what it is

  get shape(): readonly number[] {
    return (this.#shape ??= native.sizes(this.handle));
  }

  get dtype(): DType {
    return (this.#dtype ??= native.dtype(this.handle));
  }

  /** `cpu`, `cuda:0` ... */
  get device(): string {
    return this.#loan?.device ?? native.device(this.handle);
  }

  get strides(): readonly number[] {
    return native.strides(this.handle);
  }

  get ndim(): number {
    return this.shape.length;
  }

  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  get disposed(): boolean {
    return this.#handle < 0 && !this.isLent;
  }

  /** @internal Whether the values lie elsewhere (`lend`) until somebody asks for them. */
  get isLent(): boolean {
    return this.#loan !== undefined;
  }

  get isContiguous(): boolean {
    return native.isContiguous(this.handle);
  }

  get isLeaf(): boolean {
    return native.isLeaf(this.handle);
  }

  /** Size of one dimension; negative counts from the end. */
  size(dim: number): number {
    const size = this.shape.at(dim);
    if (size === undefined) {
      throw new ShapeError(
        `size: got dimension ${dim}, expected one of a tensor of shape [${this.shape.join(', ')}]`,
      );
    }
    return size;
  }

  toString(): string {
    return this.disposed
      ? 'Tensor(freed)'
      : `Tensor(${this.dtype}[${this.shape.join(', ')}] ${this.device})`;
  }

  // -- memory

  /** Frees the native memory now. A second call does nothing. */
  dispose(): void {
    unregister(this);
    this.#loan = undefined;
    this.#free();
  }

  /** For `using`: `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #free(): void {
    if (this.#handle < 0) return;
    registry.unregister(this);
    native.dispose(this.#handle);
    this.#handle = -1;
  }

  /** Takes the tensor out of the scope that would free it: its owner disposes it. */
  keep(): this {
    unregister(this);
    return this;
  }

  /**
   * @internal Takes over the native tensor of `other`, which is freed as a wrapper. This is how a
   * parameter moves to another device and stays the same object to optimizers and modules.
   */
  adopt(other: Tensor): void {
    if (this.disposed) throw new DisposedError(freed);
    this.#take(other);
  }

  #take(other: Tensor): void {
    const { handle } = other;
    this.#free();
    this.#loan = undefined;
    registry.unregister(other);
    unregister(other);
    other.#handle = -1;
    this.#handle = handle;
    this.#shape = undefined;
    this.#dtype = undefined;
    registry.register(this, handle, this);
  }

  /**
   * @internal Frees the native tensor, whose values lie elsewhere in another form. Whoever asks for more than the shape, the
   * type, the device and `requiresGrad` has them back by that: so weights that kernels read in their own order are in memory
   * once.
   *
   * @param restore - makes the same values again
   * @returns false, and changes nothing, where somebody else has the native tensor or its memory (a view, a recorded operation,
   *   a gradient): what they change would not be this tensor's any more
   */
  lend(restore: () => Tensor): boolean {
    const { shape, dtype, device, requiresGrad } = this;
    if (!native.lend(this.handle)) return false;
    this.#shape = shape;
    this.#dtype = dtype;
    registry.unregister(this);
    this.#handle = -1;
    this.#loan = { device, requiresGrad, restore };
    return true;
  }

  /** @internal Makes the native tensor of one that is lent again. */
  recall(): void {
    const loan = this.#loan;
    if (!loan) throw new DisposedError(freed);
    this.#take(loan.restore());
    native.setRequiresGrad(this.#handle, loan.requiresGrad);
  }

  // -- gradients

  get requiresGrad(): boolean {
    return this.#loan?.requiresGrad ?? native.requiresGrad(this.handle);
  }

  set requiresGrad(on: boolean) {
    try {
      native.setRequiresGrad(this.handle, on);
    } catch (error) {
      throw new TorchError('requiresGrad', (error as Error).message);
    }
  }

  /** The gradient accumulated by `backward`, or null. Each read is a tensor of its own. */
  get grad(): Tensor | null {
    const handle = native.getGrad(this.handle);
    return handle === null ? null : new Tensor(handle);
  }

  set grad(value: Tensor | null) {
    try {
      native.setGrad(this.handle, value?.handle ?? null);
    } catch (error) {
      throw new TorchError('grad', (error as Error).message);
    }
  }

  /**
   * Adds the gradients of this tensor to `.grad` of every leaf that it was made from.
   * @param gradient - gradient of this tensor, shaped like it; needed unless it has one element
   */
  backward(
    gradient?: Tensor,
    options: { readonly retainGraph?: boolean; readonly createGraph?: boolean } = {},
  ): void {
    checkOptions('backward', options, { retainGraph: 'boolean', createGraph: 'boolean' });
    const { retainGraph = false, createGraph = false } = options;
    try {
      native.backward(
        [this.handle],
        gradient ? [gradient.handle] : null,
        retainGraph || createGraph,
        createGraph,
      );
    } catch (error) {
      throw new TorchError('backward', (error as Error).message);
    }
  }

  // -- values

  /** The value of a tensor of one element. */
  item(): number {
    try {
      return native.item(this.handle);
    } catch (error) {
      throw new TorchError('item', (error as Error).message);
    }
  }

  /** A row-major copy of the values. int64 gives a BigInt64Array, 16-bit floats their raw bits. */
  toTypedArray(): TypedArray {
    const values = newTypedArray(this.dtype, this.numel);
    native.readInto(this.handle, values);
    return values;
  }

  /** The values as float32, converted where the tensor has another type. */
  toFloat32Array(): Float32Array {
    const source = this.dtype === 'float32' ? this : this.detach().to('float32');
    try {
      return source.toTypedArray() as Float32Array;
    } finally {
      if (source !== this) source.dispose();
    }
  }

  /** The values as plain numbers, row-major. */
  toNumbers(): number[] {
    const { dtype } = this;
    if (dtype === 'float16' || dtype === 'bfloat16') return Array.from(this.toFloat32Array());
    return Array.from(this.toTypedArray() as Iterable<number | bigint>, Number);
  }

  /** The values as nested arrays. */
  toArray(): NestedNumbers {
    const values = this.toNumbers();
    let at = 0;
    const build = (dim: number): NestedNumbers =>
      dim === this.ndim
        ? (values[at++] as number)
        : Array.from({ length: this.shape[dim] as number }, () => build(dim + 1));
    return build(0);
  }

  /** Overwrites the values from a row-major array of the tensor's own type. */
  setValues(values: ArrayBufferView): this {
    native.writeFrom(this.handle, values);
    return this;
  }

  // -- arithmetic, with broadcasting

  add(other: Operand, options?: { readonly alpha?: number }): Tensor {
    const alpha = alphaOf('add', options);
    return typeof other === 'number'
      ? ops.addScalar(this, other, alpha)
      : ops.add(this, other, alpha);
  }
  sub(other: Operand, options?: { readonly alpha?: number }): Tensor {
    const alpha = alphaOf('sub', options);
    return typeof other === 'number'
      ? ops.subScalar(this, other, alpha)
      : ops.sub(this, other, alpha);
  }
  mul(other: Operand): Tensor {
    return typeof other === 'number' ? ops.mulScalar(this, other) : ops.mul(this, other);
  }
  div(other: Operand): Tensor {
    return typeof other === 'number' ? ops.divScalar(this, other) : ops.div(this, other);
  }
  /** Integer division that rounds towards minus infinity. */
  floorDiv(other: number): Tensor {
    return ops.divScalarMode(this, other, 'floor');
  }
  remainder(other: number): Tensor {
    return ops.remainderScalar(this, other);
  }
  pow(exponent: Operand): Tensor {
    return typeof exponent === 'number' ? ops.powScalar(this, exponent) : ops.pow(this, exponent);
  }
  neg(): Tensor {
    return ops.neg(this);
  }
  exp(): Tensor {
    return ops.exp(this);
  }
  log(): Tensor {
    return ops.log(this);
  }
  sqrt(): Tensor {
    return ops.sqrt(this);
  }
  rsqrt(): Tensor {
    return ops.rsqrt(this);
  }
  square(): Tensor {
    return ops.square(this);
  }
  reciprocal(): Tensor {
    return ops.reciprocal(this);
  }
  abs(): Tensor {
    return ops.abs(this);
  }
  sign(): Tensor {
    return ops.sign(this);
  }
  floor(): Tensor {
    return ops.floor(this);
  }
  round(): Tensor {
    return ops.round(this);
  }
  tanh(): Tensor {
    return ops.tanh(this);
  }
  sigmoid(): Tensor {
    return ops.sigmoid(this);
  }
  relu(): Tensor {
    return ops.relu(this);
  }
  gelu(): Tensor {
    return ops.gelu(this);
  }
  silu(): Tensor {
    return ops.silu(this);
  }
  softplus(): Tensor {
    return ops.softplus(this);
  }
  expm1(): Tensor {
    return ops.expm1(this);
  }
  clamp(min: number | null, max: number | null = null): Tensor {
    return ops.clamp(this, min, max);
  }
  maximum(other: Tensor): Tensor {
    return ops.maximum(this, other);
  }
  minimum(other: Tensor): Tensor {
    return ops.minimum(this, other);
  }
  lerp(end: Tensor, weight: number): Tensor {
    return ops.lerpScalar(this, end, weight);
  }
  cumsum(dim: number): Tensor {
    return ops.cumsum(this, dim);
  }

  // -- in place

  add_(other: Operand, options?: { readonly alpha?: number }): this {
    const alpha = alphaOf('add_', options);
    if (typeof other === 'number') ops.addScalar_(this, other, alpha);
    else ops.add_(this, other, alpha);
    return this;
  }
  sub_(other: Operand, options?: { readonly alpha?: number }): this {
    const alpha = alphaOf('sub_', options);
    if (typeof other === 'number') ops.subScalar_(this, other, alpha);
    else ops.sub_(this, other, alpha);
    return this;
  }
  mul_(other: Operand): this {
    if (typeof other === 'number') ops.mulScalar_(this, other);
    else ops.mul_(this, other);
    return this;
  }
  div_(other: Operand): this {
    if (typeof other === 'number') ops.divScalar_(this, other);
    else ops.div_(this, other);
    return this;
  }
  copy_(source: Tensor): this {
    ops.copy_(this, source);
    return this;
  }
  zero_(): this {
    ops.zero_(this);
    return this;
  }
  fill_(value: number): this {
    ops.fill_(this, value);
    return this;
  }
  lerp_(end: Tensor, weight: number): this {
    ops.lerpScalar_(this, end, weight);
    return this;
  }

  // -- comparison; results are bool tensors

  eq(other: Operand): Tensor {
    return typeof other === 'number' ? ops.eqScalar(this, other) : ops.eq(this, other);
  }
  ne(other: Operand): Tensor {
    return typeof other === 'number' ? ops.neScalar(this, other) : ops.ne(this, other);
  }
  lt(other: Operand): Tensor {
    return typeof other === 'number' ? ops.ltScalar(this, other) : ops.lt(this, other);
  }
  le(other: Operand): Tensor {
    return typeof other === 'number' ? ops.leScalar(this, other) : ops.le(this, other);
  }
  gt(other: Operand): Tensor {
    return typeof other === 'number' ? ops.gtScalar(this, other) : ops.gt(this, other);
  }
  ge(other: Operand): Tensor {
    return typeof other === 'number' ? ops.geScalar(this, other) : ops.ge(this, other);
  }
  logicalNot(): Tensor {
    return ops.logicalNot(this);
  }
  isFinite(): Tensor {
    return ops.isfinite(this);
  }
  /** Same shape and same values. */
  equal(other: Tensor): boolean {
    return ops.equal(this, other);
  }

  // -- matrix products

  matmul(other: Tensor): Tensor {
    return ops.matmul(this, other);
  }
  mm(other: Tensor): Tensor {
    return ops.mm(this, other);
  }
  bmm(other: Tensor): Tensor {
    return ops.bmm(this, other);
  }

  // -- shape and indexing; views wherever PyTorch's are

  reshape(...shape: number[]): Tensor {
    return ops.reshape(this, shape);
  }
  view(...shape: number[]): Tensor {
    return ops.view(this, shape);
  }
  flatten(startDim = 0, endDim = -1): Tensor {
    return ops.flatten(this, startDim, endDim);
  }
  permute(...dims: number[]): Tensor {
    return ops.permute(this, dims);
  }
  transpose(dim0: number, dim1: number): Tensor {
    return ops.transpose(this, dim0, dim1);
  }
  t(): Tensor {
    return ops.t(this);
  }
  unsqueeze(dim: number): Tensor {
    return ops.unsqueeze(this, dim);
  }
  squeeze(dim?: number): Tensor {
    return dim === undefined ? ops.squeeze(this) : ops.squeezeDim(this, dim);
  }
  expand(...shape: number[]): Tensor {
    return ops.expand(this, shape);
  }
  contiguous(): Tensor {
    return ops.contiguous(this);
  }
  select(dim: number, index: number): Tensor {
    return ops.select(this, dim, index);
  }
  narrow(dim: number, start: number, length: number): Tensor {
    return ops.narrow(this, dim, start, length);
  }
  slice(dim: number, start?: number, end?: number, step = 1): Tensor {
    return ops.slice(this, dim, start, end, step);
  }
  /** @param index - which entries of `dim`, in the order wanted */
  indexSelect(dim: number, index: Tensor | readonly number[]): Tensor {
    if (index instanceof Tensor) return ops.indexSelect(this, dim, index);
    const handle = native.fromBytes(BigInt64Array.from(index, BigInt), 'int64', [index.length]);
    const list = new Tensor(handle);
    const { device } = this;
    let moved = list;
    try {
      moved = list.to(device);
      return ops.indexSelect(this, dim, moved);
    } finally {
      list.dispose();
      moved.dispose();
    }
  }
  gather(dim: number, index: Tensor): Tensor {
    return ops.gather(this, dim, index);
  }
  split(size: number | readonly number[], dim = 0): Tensor[] {
    return typeof size === 'number'
      ? ops.split(this, size, dim)
      : ops.splitWithSizes(this, size, dim);
  }
  chunk(chunks: number, dim = 0): Tensor[] {
    return ops.chunk(this, chunks, dim);
  }
  unbind(dim = 0): Tensor[] {
    return ops.unbind(this, dim);
  }
  flip(...dims: number[]): Tensor {
    return ops.flip(this, dims);
  }
  repeat(...counts: number[]): Tensor {
    return ops.repeat(this, counts);
  }
  maskedFill(mask: Tensor, value: number): Tensor {
    return ops.maskedFill(this, mask, value);
  }

  // -- reductions, over everything or over the dimensions given

  sum(dim?: number | readonly number[], keepdim = false): Tensor {
    return dim === undefined ? ops.sum(this) : ops.sumDim(this, dim, keepdim);
  }
  mean(dim?: number | readonly number[], keepdim = false): Tensor {
    return dim === undefined ? ops.mean(this) : ops.meanDim(this, dim, keepdim);
  }
  amax(dim: number | readonly number[] = [], keepdim = false): Tensor {
    return ops.amax(this, dim, keepdim);
  }
  amin(dim: number | readonly number[] = [], keepdim = false): Tensor {
    return ops.amin(this, dim, keepdim);
  }
  max(): Tensor {
    return ops.max(this);
  }
  min(): Tensor {
    return ops.min(this);
  }
  /** Standard deviation with Bessel's correction. */
  std(dim?: number | readonly number[], keepdim = false): Tensor {
    return dim === undefined ? ops.std(this) : ops.stdDim(this, dim, true, keepdim);
  }
  /** Vector norm of order p. Default `2`. */
  norm(p = 2, dim: number | readonly number[] | null = null, keepdim = false): Tensor {
    return ops.linalgVectorNorm(this, p, dim, keepdim);
  }
  argmax(dim: number | null = null, keepdim = false): Tensor {
    return ops.argmax(this, dim, keepdim);
  }
  argmin(dim: number | null = null, keepdim = false): Tensor {
    return ops.argmin(this, dim, keepdim);
  }
  topk(k: number, dim = -1, largest = true): { values: Tensor; indices: Tensor } {
    const [values, indices] = ops.topk(this, k, dim, largest);
    return { values, indices };
  }
  sort(dim = -1, descending = false): { values: Tensor; indices: Tensor } {
    const [values, indices] = ops.sort(this, dim, descending);
    return { values, indices };
  }
  softmax(dim: number): Tensor {
    return ops.softmax(this, dim);
  }
  logSoftmax(dim: number): Tensor {
    return ops.logSoftmax(this, dim);
  }

  // -- types, devices, copies

  /** Another type or device; itself when it already has it. */
  to(target: DType | (string & {})): Tensor {
    const isType = (dtypes as readonly string[]).includes(target);
    if (isType ? this.dtype === target : this.device === target) return this;
    return ops.toCopy(this, isType ? (target as DType) : undefined, isType ? undefined : target);
  }
  detach(): Tensor {
    return ops.detach(this);
  }
  clone(): Tensor {
    return ops.clone(this);
  }
  /** Whether values can have gradients. */
  get isFloat(): boolean {
    return isFloat(this.dtype);
  }
}

/** Without options, as in all but a few calls, nothing is made or looked at. */
function alphaOf(where: string, options: { readonly alpha?: number } | undefined): number {
  if (options === undefined) return 1;
  checkOptions(where, options, { alpha: 'number' });
  return options.alpha ?? 1;
}
