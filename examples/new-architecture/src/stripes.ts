// Images that are learnt in seconds, as a data set of one's own: stripes across, down or aslant, under noise.
import { MemorySplit, registerDataset } from 'mamba-prune/data';

const side = 12;

/** A generator of numbers from 0 to 1 that gives the same ones everywhere. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function stripes(count: number, seed: number): MemorySplit {
  const random = randomNumbers(seed);
  const images = new Uint8Array(count * side * side);
  const labels = Array.from({ length: count }, (_, i) => i % 3);
  for (const [image, label] of labels.entries()) {
    const phase = 6 * random();
    for (let pixel = 0; pixel < side * side; pixel++) {
      const [x, y] = [pixel % side, Math.floor(pixel / side)];
      const along = [y, x, (x + y) / Math.SQRT2][label] ?? 0;
      const stripe = 42 * Math.sin((2 * Math.PI * along) / 5 + phase);
      images[image * side * side + pixel] = Math.round(128 + stripe + 170 * (random() - 0.5));
    }
  }
  return new MemorySplit(images, labels, side * side);
}

const sizes = { channels: 1, height: side, width: side } as const;

registerDataset({
  name: 'stripes',
  description: '720 grey images of 12 px, 3 classes',
  needsFolder: false,
  module: import.meta.filename,
  open: () => ({
    info: { classes: ['across', 'down', 'aslant'], ...sizes, mean: [0.5], std: [0.25] },
    train: stripes(480, 1),
    test: stripes(240, 2),
  }),
});
