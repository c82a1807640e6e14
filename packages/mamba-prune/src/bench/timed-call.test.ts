// How a call is prepared where it can be recorded. The backend stands for a GPU's: it notes what is run while it records.
import type { GraphBackend } from '@mamba-prune/libtorch';
import { expect, it } from 'vitest';
import { TimedCall } from './timed-call.js';

// What a first call alone makes (weights in a kernel's own order, compiled kernels) must be there before: recorded, it would be
// made again in every replay and be timed with it.
it.each([
  [0, 1],
  [1, 1],
  [3, 3],
])('with %i calls to warm up it is run %i times before it is recorded', (warmup, expected) => {
  let isRecording = false;
  const calls: string[] = [];
  const backend: GraphBackend = {
    graphCapture(_, work) {
      isRecording = true;
      work();
      isRecording = false;
      return 1;
    },
    graphReplay: () => undefined,
    graphDispose: () => undefined,
  };
  const call = new TimedCall(() => calls.push(isRecording ? 'recorded' : 'run'), 'cpu', backend);
  call.prepare(warmup);
  expect(call.graph).toBe('replayed');
  expect(calls).toEqual([...Array<string>(expected).fill('run'), 'recorded']);
  call.dispose();
});
