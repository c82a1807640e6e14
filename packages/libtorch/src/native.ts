// The addon's functions with their types; it is loaded when one of them is first used.
import type { DType, TypedArray } from './dtype.js';
import { loadAddon } from './load-addon.js';

/** Names a tensor or generator that lives in C++. An ordinary number is never a valid handle. */
export type Handle = number;

export interface SchemaArgument {
  readonly name: string;
  readonly type: string;
  readonly keywordOnly: boolean;
  readonly length: number | null;
  readonly hasDefault: boolean;
  readonly written: boolean;
}

export interface OperatorSchema {
  readonly name: string;
  readonly overload: string;
  readonly arguments: readonly SchemaArgument[];
  readonly returns: readonly SchemaArgument[];
}

/** The addon as it is: numbers in, numbers out. Everything else is built on this in TypeScript. */
export interface Native {
  resolve(name: string, overload: string): number;
  call(operator: number, args: readonly unknown[]): unknown;
  schemas(namespace: string): OperatorSchema[];

  /** @param collected - by the garbage collector, not by the program */
  dispose(handle: Handle, collected?: boolean): boolean;
  stats(): { tensors: number; bytes: number };
  sizes(handle: Handle): number[];
  strides(handle: Handle): number[];
  dtype(handle: Handle): DType;
  device(handle: Handle): string;
  requiresGrad(handle: Handle): boolean;
  isLeaf(handle: Handle): boolean;
  isContiguous(handle: Handle): boolean;
  /** Frees the tensor and gives its memory back to the system. False, and nothing, where somebody else has it or its memory. */
  lend(handle: Handle): boolean;

  fromBytes(view: ArrayBufferView, dtype: DType, shape: readonly number[]): Handle;
  borrowBytes(view: ArrayBufferView, dtype: DType, shape: readonly number[]): Handle;
  readInto(handle: Handle, view: TypedArray): void;
  writeFrom(handle: Handle, view: ArrayBufferView): void;
  item(handle: Handle): number;

  setGradMode(on?: boolean): boolean;
  backward(
    roots: readonly Handle[],
    gradients: readonly Handle[] | null,
    retainGraph: boolean,
    createGraph: boolean,
  ): void;
  gradients(
    outputs: readonly Handle[],
    inputs: readonly Handle[],
    outputGradients: readonly Handle[] | null,
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): (Handle | null)[];
  getGrad(handle: Handle): Handle | null;
  setGrad(handle: Handle, gradient: Handle | null): void;
  setRequiresGrad(handle: Handle, on: boolean): void;

  seedAll(seed: number): void;
  defaultGenerator(device?: string): Handle;
  newGenerator(seed: number): Handle;
  generatorState(generator: Handle): Handle;
  setGeneratorState(generator: Handle, state: Handle): void;

  numThreads(count?: number): number;
  version(): string;
  config(): string;
  cudaDeviceCount(): number;
  synchronize(device: string): void;
  setFlushDenormal(on: boolean): void;
  /** Bytes that malloc has handed out; null where the C library does not tell (older than glibc 2.33, or another). */
  mallocBytes(): number | null;

  storeOpen(host: string, port: number, isServer: boolean, timeoutMs: number): Handle;
  storePort(store: Handle): number;
  storeSet(store: Handle, key: string, value: string): void;
  storeGet(store: Handle, key: string): string | null;
  storeCheck(store: Handle, keys: readonly string[]): boolean;
  storeWait(store: Handle, keys: readonly string[], timeoutMs: number): string[];
  storeAdd(store: Handle, key: string, value: number): number;
  storeCompareSet(store: Handle, key: string, expected: string, desired: string): string;
  storeAppend(store: Handle, key: string, value: string): void;
  storeDelete(store: Handle, key: string): boolean;
  storeCount(store: Handle): number;
  storeLeave(store: Handle, key: string, value: string): void;
  storeClose(store: Handle): void;
  launcherSet(host: string, port: number, key: string, value: string, timeoutMs: number): void;
  launcherGet(host: string, port: number, key: string, timeoutMs: number): string | null;
  groupOpen(
    host: string,
    port: number,
    prefix: string,
    rank: number,
    workers: number,
    timeoutMs: number,
    silenceMs: number,
    device: string,
  ): Handle;
  groupCheck(group: Handle): void;
  groupClose(group: Handle, reason: string | null): void;
  allReduce(group: Handle, tensor: Handle): Handle;
  broadcast(group: Handle, tensor: Handle, root: number): Handle;
  groupSettle(group: Handle, device: string): void;
  waitWork(group: Handle, work: Handle): void;
  bucketsOpen(group: Handle, parameters: readonly Handle[], bytes: number): Handle;
  bucketsCount(buckets: Handle): number;
  bucketsBegin(buckets: Handle, weight: number): void;
  bucketsFinish(buckets: Handle): number;
  bucketsClose(buckets: Handle): void;
  cudaHasBfloat16(): boolean;
  setAllowTf32(on: boolean): void;
  instructionSet(): string;
  profileStart(): void;
  /** Name, calls and milliseconds of one operator after the other. */
  profileStop(): (string | number)[];

  /** Numbers are those of `ImageSquare`, in its order; false for files that are to be looked at more closely. */
  jpegSquare(
    path: string,
    out: Uint8Array,
    ...square: readonly (number | string)[]
  ): Promise<boolean>;
  pixelsSquare(
    pixels: Uint8Array | Uint8ClampedArray,
    bytesOfPixel: number,
    out: Uint8Array,
    ...square: readonly (number | string)[]
  ): Promise<void>;
  /** @param span - channels, height, width, the first image and how many */
  imageFloats(
    pixels: Uint8Array,
    out: Float32Array,
    tables: Float32Array,
    flipped: Uint8Array,
    ...span: readonly number[]
  ): Promise<void>;
  hasJpeg(): boolean;
  jpegLibrary(): string;
  imageThreads(count?: number): number;

  // Of an addon that was built with CUDA.
  graphCapture?(device: string, work: () => void): number;
  graphReplay?(id: number): void;
  graphDispose?(id: number): void;
  /** Bytes in tensors, held by the allocator, free, in all. */
  cudaMemory?(device: string): number[];
  emptyCudaCache?(device: string): void;
  /** Where the sources of our kernels are. */
  setKernelFolder?(path: string): void;
}

/**
 * The addon, loaded (and built, where it is missing) when something of it is first used: a program that only prints its
 * help must work without libtorch. From then on its functions are ordinary properties, at no cost for a call.
 */
function onFirstUse(load: () => Native): Native {
  const functions = {};
  const unloaded = new Proxy(
    {},
    {
      get: (_target, name) => {
        const addon = load();
        Object.setPrototypeOf(functions, Object.prototype);
        Object.assign(functions, addon);
        return Reflect.get(functions, name) as unknown;
      },
    },
  );
  return Object.setPrototypeOf(functions, unloaded) as Native;
}

export const native: Native = onFirstUse(loadAddon);
