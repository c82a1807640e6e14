// Counts of live tensors in tests that wait between two of them.
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { memoryStats } from '@mamba-prune/libtorch';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * What is alive once that is gone which nobody holds. Tensors that earlier tests left to the garbage collector would
 * otherwise be finalized while a test waits, which is when finalizers run, and its count would fall below the first one.
 */
export async function settledMemory(): Promise<ReturnType<typeof memoryStats>> {
  for (let before = -1; ;) {
    collect();
    // Finalizers run in tasks of their own, some time after the collection.
    for (let i = 0; i < 3; i++) await setImmediate();
    const now = memoryStats();
    if (now.tensors === before) return now;
    before = now.tensors;
  }
}
