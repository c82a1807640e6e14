/** Thread that makes batches; started by BatchThreads, talks in BatchJob and Batch. */
import { parentPort, workerData } from 'node:worker_threads';
import { BatchMaker, type BatchJob, type BatchRecipe } from './batch.js';
import { reasonOf } from './errors.js';

const maker = new BatchMaker(workerData as BatchRecipe);

parentPort?.on('message', ({ id, job }: { id: number; job: BatchJob }) => {
  try {
    const batch = maker.make(job);
    const moved = [batch.images.buffer, batch.labels.buffer] as ArrayBuffer[];
    if (batch.targets) moved.push(batch.targets.buffer as ArrayBuffer);
    parentPort?.postMessage({ id, batch }, moved);
  } catch (error) {
    parentPort?.postMessage({ id, error: reasonOf(error) });
  }
});
