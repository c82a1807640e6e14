import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { DType, TypedArray } from './dtype.js';

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

  dispose(handle: Handle): boolean;
  stats(): { tensors: number; bytes: number };
  sizes(handle: Handle): number[];
  strides(handle: Handle): number[];
  dtype(handle: Handle): DType;
  device(handle: Handle): string;
  requiresGrad(handle: Handle): boolean;
  isLeaf(handle: Handle): boolean;
  isContiguous(handle: Handle): boolean;

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
    size: number,
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

/** In a clone the compiler and libtorch may be missing too; from the registry the command is there. */
const BUILD = 'In a clone: bash scripts/setup. Elsewhere: npx mamba-prune-libtorch build.';

function load(): Native {
  const path = fileURLToPath(new URL('../build/addon.node', import.meta.url));
  if (!existsSync(path)) {
    throw new Error(
      `@mamba-prune/libtorch: the addon is not built (${path} is missing).\n${BUILD}`,
    );
  }
  // How long an idle OpenMP thread spins before it sleeps. By default it spins for long: on a shared
  // machine that starves whoever has work. Without spinning every small operator waits for a thread
  // to wake up, and one image takes nearly twice as long. Chosen by measurement (1,000 to 50,000 were
  // alike on a quiet machine, and less does least harm on a busy one). Read when libgomp is loaded.
  process.env.OMP_WAIT_POLICY ??= 'passive';
  process.env.GOMP_SPINCOUNT ??= '5000';
  let addon: Native;
  try {
    addon = createRequire(import.meta.url)(path) as Native;
  } catch (error) {
    throw new Error(
      `@mamba-prune/libtorch: the addon does not load: ${(error as Error).message}\n` +
        `Has libtorch been updated or removed since the build? Build again. ${BUILD}`,
      { cause: error },
    );
  }
  addon.setKernelFolder?.(fileURLToPath(new URL('../native/cuda/kernels', import.meta.url)));
  // Debian's libtorch starts with one thread whatever the machine has.
  if (process.env.OMP_NUM_THREADS === undefined) addon.numThreads(availableParallelism());
  return addon;
}

export const native: Native = load();
