// Whole collections of V8's heap while steps take native memory and free it again: their number as JSON.
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const { scope, zeros } = await import(pathToFileURL(`${process.argv[2]}/index.js`).href);
const steps = Number(process.argv[3]);
/** A tensor of so many MiB. */
const taking = (mebibytes) => zeros([(mebibytes * 2 ** 20) / 4]);

let collections = 0;
let counts = false;
new PerformanceObserver((list) => {
  if (!counts) return;
  for (const { detail } of list.getEntries())
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++;
}).observe({ entryTypes: ['gc'] });

const kept = taking(64);
for (let step = -3; step < steps; step++) {
  // What there was before, and what the first steps set off, is not counted.
  counts = step >= 0;
  scope(() => {
    for (let i = 0; i < 4; i++) taking(64);
  });
  // A collection goes on beside the program, and is reported when the program rests.
  await sleep(20);
}
kept.dispose();
console.log(JSON.stringify(collections));
