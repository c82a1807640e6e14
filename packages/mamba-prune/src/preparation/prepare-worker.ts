/** Thread that prepares pictures; started by PrepareThreads. */
import { parentPort } from 'node:worker_threads';
import { type ModelInput, type Picture, prepare } from './prepare.js';
import type { Preprocessing } from './preprocessing.js';

export interface PrepareJob {
  readonly id: number;
  readonly picture: Picture;
  readonly input: ModelInput;
  readonly preprocessing: Preprocessing;
}

parentPort?.on('message', ({ id, picture, input, preprocessing }: PrepareJob) => {
  try {
    const pixels = prepare(picture, input, preprocessing);
    parentPort?.postMessage({ id, pixels }, [pixels.buffer as ArrayBuffer]);
  } catch (error) {
    parentPort?.postMessage({ id, error: String(error) });
  }
});
