import type { BatchLoader } from './loader.js';

export interface LoaderSpeed {
  images: number;
  seconds: number;
  imagesPerSecond: number;
  /** Time of the main thread that a caller waits for each image, in microseconds. */
  microsecondsPerImage: number;
}

/**
 * How fast a loader is when nobody uses the batches: a training step needs to be slower than this,
 * or it starves. The first batch is not counted (it starts threads and warms up the code).
 * @param seconds - stops after the batch that passes this time
 */
export async function measureLoader(loader: BatchLoader, seconds = 2): Promise<LoaderSpeed> {
  let images = 0;
  let start: number | undefined;
  for (let epoch = 0; ; epoch++) {
    for await (const batch of loader.epoch(epoch)) {
      loader.recycle(batch);
      const now = performance.now();
      if (start === undefined) {
        start = now;
        continue;
      }
      images += batch.size;
      const elapsed = (now - start) / 1000;
      if (elapsed >= seconds && elapsed > 0) {
        return {
          images,
          seconds: elapsed,
          imagesPerSecond: images / elapsed,
          microsecondsPerImage: (elapsed / images) * 1e6,
        };
      }
    }
  }
}
