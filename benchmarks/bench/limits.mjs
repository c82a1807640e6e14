// What a machine allows at best: the time under which no way of computing a case can get, as far as its arithmetic goes.

/** A backward pass computes two products for each one of the forward pass: with respect to the inputs and to the weights. */
const passesOfTraining = 3;

const flopPerMac = 2;
const bytesPerWeight = 4; // float32

/**
 * @param macs - of one image, as the model counts them
 * @returns floating-point operations of one step
 */
export function flopOf({ what, batch }, macs) {
  return flopPerMac * macs * batch * (what === 'train' ? passesOfTraining : 1);
}

/** @returns bytes of the weights: inference reads each at least once */
export const weightBytes = (parameters) => bytesPerWeight * parameters;

/**
 * @param counts - the model's `macs` for one image, and its `parameters`
 * @param rates - `flops`: operations in a second of large matrix products; `read`: for each number of bytes how many of
 *   them are read in a second, over and over
 * @returns the larger of the two times that arithmetic and, at batch 1, reading the weights take, and which one it is. At
 *   larger batches every weight that was read is used for many rows, and arithmetic takes longer.
 */
export function limitOf(one, { macs, parameters }, rates) {
  const products = (1000 * flopOf(one, macs)) / rates.flops;
  const bytes = weightBytes(parameters);
  const read = rates.read[bytes];
  const weights = one.batch === 1 && read !== undefined ? (1000 * bytes) / read : 0;
  return products >= weights ? { ms: products, by: 'products' } : { ms: weights, by: 'weights' };
}

/**
 * @param measured - rates of several rounds
 * @returns the highest of each: what slows a machine down for a while does not lower its limit
 */
export function highestRates(measured) {
  const read = {};
  for (const one of measured) {
    for (const [bytes, rate] of Object.entries(one.read)) {
      read[bytes] = Math.max(rate, read[bytes] ?? 0);
    }
  }
  return { flops: Math.max(...measured.map(({ flops }) => flops)), read };
}
