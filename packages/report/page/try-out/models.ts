// Where the models come from that can be tried.
import type { RunData, TryOutModel } from '../../src/data/types.js';
import type { Backend } from './protocol.js';

export interface Models {
  /** Whether the model of a run can be had. */
  has(run: RunData): boolean;
  /** The file, in ONNX. */
  file(run: string): Promise<Uint8Array>;
  describe(run: string): Promise<TryOutModel>;
  /** What computes; the first is chosen unless the reader does. */
  backends(): Promise<readonly Backend[]>;
  /** A worker that answers the requests of `protocol.ts`. */
  startWorker(): Promise<Worker>;
}
