// Where the models come from that can be tried.
import type { EvaluationData } from '../../src/page-data/evaluation.js';
import type { RunData } from '../../src/page-data/run.js';
import type { TryOutModel } from '../../src/page-data/try-out.js';
import type { Backend } from './protocol.js';

export interface Evaluated {
  readonly evaluation: EvaluationData | null;
  /** Why there is none. */
  readonly notes: readonly string[];
}

export interface Models {
  /** Whether the model of a run can be had. */
  has(run: RunData): boolean;
  /** The file, in ONNX, as the backend computes it best. */
  file(run: string, backend: Backend): Promise<Uint8Array>;
  describe(run: string): Promise<TryOutModel>;
  /** What computes; the first is chosen unless the reader does. */
  backends(): Promise<readonly Backend[]>;
  /** Shows test images to all models; undefined where only a report can do it. */
  readonly evaluate?: () => Promise<Evaluated>;
  /** A worker that answers the requests of `protocol.ts`. */
  startWorker(): Promise<Worker>;
}
