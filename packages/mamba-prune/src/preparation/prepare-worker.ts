/** Thread that prepares pictures; started by PrepareThreads. */
import { doJobs } from '../thread-jobs.js';
import { type ModelInput, type Picture, prepare } from './prepare.js';
import type { Preprocessing } from './preprocessing.js';

export interface PrepareJob {
  readonly picture: Picture;
  readonly input: ModelInput;
  readonly preprocessing: Preprocessing;
}

doJobs<Uint8Array>(
  ({ picture, input, preprocessing }: PrepareJob) => prepare(picture, input, preprocessing),
  (pixels) => [pixels.buffer as ArrayBuffer],
);
