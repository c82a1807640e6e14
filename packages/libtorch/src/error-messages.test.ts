import { describe, expect, it } from 'vitest';
import { zeros } from './index.js';

/** The message of an error of libtorch with `text` in it. */
function messageWith(text: string): string {
  try {
    zeros([1], { device: text });
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('no error');
}

// Lines that libtorch adds to every error of CUDA, since 1.10 and 2.9.
describe('what libtorch says to those who debug it', () => {
  it.each([
    'CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.',
    'For debugging consider passing CUDA_LAUNCH_BLOCKING=1',
    'Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.',
    "Search for `cudaErrorMemoryAllocation' in https://docs.nvidia.com for more information.",
  ])('is left out of messages: %s', (advice) => {
    expect(messageWith(`gpu\n${advice}\n`)).toMatch(/device string: 'gpu$/);
  });

  it('leaves other lines', () => {
    expect(messageWith('gpu\nand more')).toContain("'gpu\nand more'");
  });
});
