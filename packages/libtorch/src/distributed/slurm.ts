// Workers that Slurm's srun started.
import type { WorkerConfig } from './config.js';
import { DistributedError } from './errors.js';
import { integer } from './variables.js';

/** @returns undefined outside of srun */
export function slurmConfig(
  env: Readonly<Record<string, string | undefined>>,
): WorkerConfig | undefined {
  const { SLURM_PROCID, SLURM_STEP_ID, ENVIRONMENT } = env;
  if (SLURM_PROCID === undefined) return undefined;
  // A batch script has the variables of its job, but is one process.
  if (ENVIRONMENT === 'BATCH' && SLURM_STEP_ID === undefined) return undefined;
  const rank = integer(env, 'SLURM_PROCID', 0);
  const workers = integer(env, 'SLURM_STEP_NUM_TASKS', 1) ?? integer(env, 'SLURM_NTASKS', 1);
  const localRank = integer(env, 'SLURM_LOCALID', 0);
  if (workers === 1) return undefined;
  const missing = [
    ...(rank === undefined ? ['SLURM_PROCID'] : []),
    ...(workers === undefined ? ['SLURM_NTASKS'] : []),
    ...(localRank === undefined ? ['SLURM_LOCALID'] : []),
  ];
  if (rank === undefined || workers === undefined || localRank === undefined) {
    throw new DistributedError(
      `workers: ${missing.join(', ')} not set, but SLURM_PROCID is; expected the variables of srun. Start with srun.`,
    );
  }
  return { rank, workers, localRank, host: hostOf(env), port: portOf(env) };
}

/** The first node of the step is that of rank 0. */
function hostOf(env: Readonly<Record<string, string | undefined>>): string {
  const { MASTER_ADDR, SLURM_STEP_NODELIST, SLURM_JOB_NODELIST, SLURM_LAUNCH_NODE_IPADDR } = env;
  if (MASTER_ADDR) return MASTER_ADDR;
  const nodes = SLURM_STEP_NODELIST ?? SLURM_JOB_NODELIST;
  if (nodes) return firstHost(nodes);
  if (SLURM_LAUNCH_NODE_IPADDR) return SLURM_LAUNCH_NODE_IPADDR;
  throw new DistributedError(
    'workers: none of SLURM_STEP_NODELIST, SLURM_JOB_NODELIST and SLURM_LAUNCH_NODE_IPADDR is set, expected the ' +
      'node of rank 0. Set MASTER_ADDR to it.',
  );
}

/** By the job's number, so that jobs that share a node do not meet; MASTER_PORT chooses another. */
function portOf(env: Readonly<Record<string, string | undefined>>): number {
  const given = integer(env, 'MASTER_PORT', 1, 65535);
  if (given !== undefined) return given;
  const job = integer(env, 'SLURM_JOB_ID', 0);
  if (job === undefined) {
    throw new DistributedError(
      'workers: neither SLURM_JOB_ID nor MASTER_PORT is set, expected one to choose a port by. Set MASTER_PORT.',
    );
  }
  return 20_000 + (job % 12_000);
}

/**
 * First host of a node list: `gpu[003-007,9],login1` gives `gpu003`.
 * @throws DistributedError for a list that cannot be read
 */
export function firstHost(nodes: string): string {
  const [, prefix, first, suffix] =
    /^([^[\],\s]*)(?:\[(\d+)[^\]]*\])?([^[\],\s]*)/.exec(nodes) ?? [];
  const host = `${prefix ?? ''}${first ?? ''}${suffix ?? ''}`;
  const rest = nodes.slice(host.length);
  if (host !== '' && (first !== undefined || rest === '' || rest.startsWith(','))) return host;
  throw new DistributedError(
    `workers: got the node list "${nodes}", expected hosts such as gpu[003-007]. Set MASTER_ADDR to the node of rank 0.`,
  );
}
