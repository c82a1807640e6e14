// How one measurement is timed, the same whoever computes the model.
import { median } from '../median.mjs';

/**
 * Warms up twice, then times a step a number of times.
 * @param step - may give a promise, which is waited for
 * @returns the median milliseconds
 */
export async function medianMs(runs, step) {
  const times = [];
  for (let run = -2; run < runs; run++) {
    const started = performance.now();
    const done = step();
    // A step that computes at once is over here.
    if (done instanceof Promise) await done;
    if (run >= 0) times.push(performance.now() - started);
  }
  return median(times);
}
