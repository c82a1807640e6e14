/** Thread that makes batches; started by BatchThreads, talks in BatchJob and Batch. */
import { workerData } from 'node:worker_threads';
import { doJobs } from '../thread-jobs.js';
import { type Batch, type BatchJob, BatchMaker, type BatchRecipe } from './batch.js';

const maker = new BatchMaker(workerData as BatchRecipe);

doJobs<Batch>(
  (job: BatchJob) => maker.make(job),
  ({ images, labels, targets }) =>
    [images, labels, ...(targets ? [targets] : [])].map((array) => array.buffer as ArrayBuffer),
);
