// Who a worker is and where the others are: given, or read from what a launcher set.
import { DistributedError } from './errors.js';
import { slurmConfig } from './slurm.js';
import { type Environment, integer } from './variables.js';

export interface WorkerConfig {
  /** 0 to workers - 1. */
  readonly rank: number;
  readonly workers: number;
  /** Among the workers of its machine: picks the GPU. */
  readonly localRank: number;
  /** Address of rank 0, as all workers reach it. */
  readonly host: string;
  /** Port of the store; 0, for rank 0 alone: a free one is chosen. */
  readonly port: number;
  /** Whether a launcher holds the store, as torchrun does. Default `false`: rank 0 does. */
  readonly launcherHasStore?: boolean;
  /** Counted by a launcher that starts workers again; keeps attempts apart in its store. Default 0. */
  readonly attempt?: number;
}

/**
 * The worker that torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT) or Slurm's srun
 * (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID and the list of nodes) started. torchrun's variables win,
 * for torchrun may run under Slurm.
 *
 * @returns undefined if the process is no worker, or the only one
 * @throws DistributedError naming the variables that are missing, malformed or contradict each other
 */
export function workerConfigFromEnvironment(
  env: Environment = process.env,
): WorkerConfig | undefined {
  const config = torchrunConfig(env) ?? slurmConfig(env);
  if (config === undefined) return undefined;
  checkConfig(config);
  return config.workers === 1 ? undefined : config;
}

function torchrunConfig(env: Environment): WorkerConfig | undefined {
  // A cluster may set MASTER_ADDR for everything; who has a rank is a worker.
  if (env['RANK'] === undefined && env['WORLD_SIZE'] === undefined) return undefined;
  const missing = ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'].filter(
    (name) => (env[name] ?? '') === '',
  );
  if (missing.length > 0 && env['WORLD_SIZE'] !== '1') {
    throw new DistributedError(
      `workers: ${missing.join(', ')} not set, but ${env['RANK'] === undefined ? 'WORLD_SIZE' : 'RANK'} is; ` +
        'expected RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together, as torchrun sets them. ' +
        'Set all of them, or none.',
    );
  }
  const localWorkers = integer(env, 'LOCAL_WORLD_SIZE', 1);
  const localRank = integer(env, 'LOCAL_RANK', 0) ?? 0;
  if (localWorkers !== undefined && localRank >= localWorkers) {
    throw new DistributedError(
      `workers: got LOCAL_RANK ${localRank} with LOCAL_WORLD_SIZE ${localWorkers}, expected a smaller LOCAL_RANK.`,
    );
  }
  return {
    rank: integer(env, 'RANK', 0) ?? 0,
    workers: integer(env, 'WORLD_SIZE', 1) ?? 1,
    localRank,
    host: env['MASTER_ADDR'] ?? '127.0.0.1',
    port: integer(env, 'MASTER_PORT', 0, 65535) ?? 0,
    launcherHasStore: env['TORCHELASTIC_USE_AGENT_STORE'] === 'True',
    attempt: integer(env, 'TORCHELASTIC_RESTART_COUNT', 0) ?? 0,
  };
}

/** @throws DistributedError for what cannot be */
export function checkConfig({ rank, workers, localRank, host, port }: WorkerConfig): void {
  const fail = (text: string): never => {
    throw new DistributedError(`workers: ${text}`);
  };
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  if (!whole(workers, 1)) fail(`got ${workers} workers, expected an integer of at least 1.`);
  if (!whole(rank, 0) || rank >= workers) {
    fail(`got rank ${rank} of ${workers} workers, expected 0 to ${workers - 1}.`);
  }
  if (!whole(localRank, 0) || localRank > rank) {
    fail(`got local rank ${localRank} of rank ${rank}, expected 0 to ${rank}.`);
  }
  if (host === '') fail('got an empty address of rank 0, expected a host name or an IP address.');
  if (!whole(port, 0) || port > 65535) fail(`got port ${port}, expected 0 to 65535.`);
  if (port === 0 && rank !== 0) {
    fail(`got port 0 for rank ${rank}, expected the port that rank 0 listens at.`);
  }
}
