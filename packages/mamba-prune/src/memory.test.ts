import { describe, expect, it } from 'vitest';
import { OutOfMemoryError, isOutOfMemory, memorySentence } from './memory.js';

/** What libtorch 2.11 says where CUDA itself has nothing left. */
const cuda = new Error(
  'aten::_to_copy: CUDA error: out of memory\n' +
    'CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\n' +
    'For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n' +
    '  given: self float32[1, 64, 192] cpu',
);

describe('memorySentence', () => {
  it('says what to do in place of the words of CUDA', () => {
    expect(isOutOfMemory(cuda)).toBe(true);
    expect(memorySentence(cuda)).toBe(
      "The GPU's memory does not suffice. See by nvidia-smi who else uses it and wait for them, or take fewer images at a time.",
    );
  });

  it('gives the amounts that libtorch tells', () => {
    const allocator = new Error(
      'aten::empty: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.80 GiB of which 4.62 MiB is free.',
    );
    expect(memorySentence(allocator)).toMatch(
      /^The GPU's memory does not suffice \(asked for 20\.00 MiB, 139\.80 GiB in all, 4\.62 MiB free\)\. /,
    );
    const host = new Error(
      "aten::empty: [enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes.",
    );
    expect(memorySentence(host)).toMatch(
      /^The machine's memory does not suffice \(asked for 4000000000000 bytes\)\. /,
    );
  });

  it('leaves other errors, and those that say it already, as they are', () => {
    expect(memorySentence(new Error('aten::add: shapes do not fit'))).toBeUndefined();
    expect(memorySentence(new OutOfMemoryError('evaluate: ...', 512, 'cuda:0'))).toBeUndefined();
  });
});
