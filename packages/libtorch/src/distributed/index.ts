// Process groups: what the package exports as `distributed`.
export type { WorkerConfig } from './config.js';
export { workerConfigFromEnvironment } from './config.js';
export { DistributedError, WorkerLostError } from './errors.js';
export type { GradientBucketsOptions } from './gradient-buckets.js';
export { GradientBuckets } from './gradient-buckets.js';
export type { ProcessGroupOptions, Work } from './process-group.js';
export { ProcessGroup } from './process-group.js';
