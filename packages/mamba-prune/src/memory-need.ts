// What would need more memory than the machine has is refused before anything of it is made: the system
// would end the process later, or another one.
import { totalmem } from 'node:os';
import { TooLargeError } from './errors.js';

/** Bytes that this process may have at most: the machine's, or what its container is given. */
export function machineMemory(): number {
  const given = process.constrainedMemory();
  // 0 and numbers beyond the machine's mean that there is no limit.
  return given > 0 ? Math.min(given, totalmem()) : totalmem();
}

/**
 * @param where - as the message begins
 * @param what - that needs them, such as `64 images of 3x224x224`
 * @param bytes - at least; more may be needed
 * @param advice - a sentence
 * @throws TooLargeError if the machine does not have so much
 */
export function checkNeed(where: string, what: string, bytes: number, advice: string): void {
  const there = machineMemory();
  if (bytes <= there) return;
  throw new TooLargeError(
    `${where}: got ${what}, which would need ${inWords(bytes)}, but this machine has ${inWords(there)}. ${advice}`,
  );
}

/** `23 GiB`, `17 TiB`, `1.2e+9 TiB` */
function inWords(bytes: number): string {
  const [size, unit] = bytes < 2 ** 40 ? [bytes / 2 ** 30, 'GiB'] : [bytes / 2 ** 40, 'TiB'];
  return `${size < 1e4 ? Number(size.toPrecision(2)) : size.toExponential(1)} ${unit}`;
}

/** What batches of images need at least, as float32. */
export function checkBatchNeed(
  where: string,
  images: number,
  shape: readonly number[],
  advice: string,
): void {
  const bytes = shape.reduce((product, size) => product * size, 4 * images);
  checkNeed(where, `${images} images of ${shape.join('x')} at a time`, bytes, advice);
}
