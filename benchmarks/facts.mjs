// What stands above the figures of a benchmark on the CPU: without it they say nothing.
import { cpus } from 'node:os';

/** `2 rounds`, `1 round`. @param count - a number, or digits */
export const counted = (count, word) => `${count} ${word}${Number(count) === 1 ? '' : 's'}`;

/** @param more - facts of this benchmark, in the order in which they are printed */
export const factsOf = ({ threads, more = [] }) =>
  [
    `${cpus()[0]?.model.trim()} (${counted(cpus().length, 'core')} here)`,
    counted(threads, 'thread'),
    'float32',
    ...more,
    `Node.js ${process.versions.node}`,
  ].join('; ');
