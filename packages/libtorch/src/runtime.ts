// The process's libtorch: versions, threads, devices and memory.
import { native } from './native.js';

/** Threads that one operator may use. */
export function getNumThreads(): number {
  return native.numThreads();
}

/** @throws RangeError unless 1 <= count <= 1024 */
export function setNumThreads(count: number): void {
  native.numThreads(count);
}

/** Version of the libtorch in use, such as `1.13.0`. */
export function libtorchVersion(): string {
  return native.version();
}

/** How libtorch was built and what it computes with, for reports. */
export function libtorchConfig(): string {
  return native.config();
}

/** GPUs that libtorch can use; 0 without CUDA. */
export function cudaDeviceCount(): number {
  return native.cudaDeviceCount();
}

/** Whether GPUs compute in bfloat16 by themselves (NVIDIA: from Ampere on); false without CUDA. */
export function cudaHasBfloat16(): boolean {
  return native.cudaDeviceCount() > 0 && native.cudaHasBfloat16();
}

/**
 * Whether matrix products and convolutions of float32 on a GPU may be computed in TF32, which has 10
 * bits of fraction where float32 has 23. Off unless this is called: float32 means float32.
 */
export function setAllowTf32(on: boolean): void {
  native.setAllowTf32(on);
}

export interface CudaMemory {
  /** Bytes of tensors. */
  readonly allocated: number;
  /** Bytes that libtorch has taken from the GPU: those of tensors, and those it keeps for the next ones. */
  readonly reserved: number;
  /** Bytes that nobody has taken. */
  readonly free: number;
  readonly total: number;
}

/**
 * The memory of a GPU, and this process's share of it.
 * @param device - such as `cuda:0`
 * @throws Error without CUDA
 */
export function cudaMemory(device: string): CudaMemory {
  if (!native.cudaMemory) throw withoutCuda('cudaMemory', device);
  const [allocated = NaN, reserved = NaN, free = NaN, total = NaN] = native.cudaMemory(device);
  return { allocated, reserved, free, total };
}

/**
 * Waits for a GPU and gives back what libtorch keeps of its memory for the next tensors: for other processes,
 * or for tensors of other sizes, which might not find room between those that are there.
 * @throws Error without CUDA
 */
export function emptyCudaCache(device: string): void {
  if (!native.emptyCudaCache) throw withoutCuda('emptyCudaCache', device);
  native.emptyCudaCache(device);
}

function withoutCuda(where: string, device: string): Error {
  return new Error(
    `${where}: got the device ${device}, but the addon was built without CUDA. Build it where libtorch has CUDA.`,
  );
}

/** Waits until the device has done all it was given. Nothing to wait for on the CPU. */
export function synchronize(device: string): void {
  native.synchronize(device);
}

/** Live tensors and the bytes of native memory that they own (views own none). */
export function memoryStats(): { tensors: number; bytes: number } {
  return native.stats();
}
