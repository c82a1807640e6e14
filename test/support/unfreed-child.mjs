// Tensors that nobody frees, beside some that are kept: the most MiB that were held at once, as JSON.
// node unfreed-child.mjs SRC KEPT STEPS, of 4 MiB each
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [src, keptMiB, steps] = process.argv.slice(2);
const { memoryStats, zeros } = await import(pathToFileURL(`${src}/index.js`).href);
/** A tensor of so many MiB. */
const taking = (mebibytes) => zeros([(mebibytes * 2 ** 20) / 4]);

const kept = taking(Number(keptMiB));
let most = 0;
for (let step = 0; step < Number(steps); step++) {
  taking(4);
  most = Math.max(most, memoryStats().bytes / 2 ** 20);
  // Finalizers run when the event loop turns.
  await setImmediate();
}
kept.dispose();
process.stdout.write(JSON.stringify(most));
