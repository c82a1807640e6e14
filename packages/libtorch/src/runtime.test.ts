import { describe, expect, it } from 'vitest';
import { cudaDeviceCount, cudaMemory, emptyCudaCache } from './index.js';

// With CUDA their values are tested on a GPU: test/gpu/memory.test.mjs.
describe.skipIf(cudaDeviceCount() > 0)('the memory of a GPU', () => {
  it.each([
    ['cudaMemory', () => cudaMemory('cuda:0')],
    [
      'emptyCudaCache',
      () => {
        emptyCudaCache('cuda:0');
      },
    ],
  ])('%s says that there is no CUDA where there is none', (name, ask) => {
    // A build with CUDA, on a machine without a GPU, says the second.
    const withoutCuda = `${name}: got the device cuda:0, but the addon was built without CUDA\\. Build it where libtorch has CUDA\\.`;
    expect(ask).toThrow(new RegExp(`^(${withoutCuda}|${name}: No CUDA GPUs are available)`));
  });
});
