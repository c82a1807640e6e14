// Makes tensors that nobody frees and waits for the garbage collector. Run by memory.test.ts with
// --expose-gc: node --expose-gc finalizer-child.mjs SRC
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const { Generator, memoryStats, ones } = await import(
  pathToFileURL(`${process.argv[2]}/index.js`).href
);

const kept = ones([1000]);
const before = memoryStats();
(() => {
  for (let i = 0; i < 200; i++) {
    new Generator(i);
    ones([1000]).add(1);
  }
})();
const during = memoryStats();
// Finalizers run in tasks of their own, some time after the collection.
for (let i = 0; i < 100 && memoryStats().tensors > before.tensors; i++) {
  globalThis.gc();
  await setImmediate();
}
process.stdout.write(
  JSON.stringify({ before, during, after: memoryStats(), sum: kept.sum().item() }),
);
