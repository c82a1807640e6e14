import { describe, expect, it } from 'vitest';
import { workerConfigFromEnvironment } from './config.js';
import { firstHost } from './slurm.js';

const torchrun = {
  RANK: '3',
  WORLD_SIZE: '4',
  LOCAL_RANK: '1',
  LOCAL_WORLD_SIZE: '2',
  MASTER_ADDR: 'node0',
  MASTER_PORT: '29500',
};
const slurm = {
  SLURM_PROCID: '5',
  SLURM_NTASKS: '8',
  SLURM_LOCALID: '1',
  SLURM_JOB_ID: '4711',
  SLURM_STEP_ID: '0',
  SLURM_JOB_NODELIST: 'gpu[03-04]',
};

describe('workerConfigFromEnvironment', () => {
  it('finds no worker without the variables of a launcher', () => {
    expect(workerConfigFromEnvironment({})).toBeUndefined();
    expect(workerConfigFromEnvironment({ MASTER_ADDR: 'a', MASTER_PORT: '1' })).toBeUndefined();
  });

  it('reads what torchrun sets', () => {
    const config = { rank: 3, workers: 4, localRank: 1, host: 'node0', port: 29500, attempt: 0 };
    expect(workerConfigFromEnvironment(torchrun)).toEqual({ ...config, launcherHasStore: false });
    const agent = { TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RESTART_COUNT: '2' };
    expect(workerConfigFromEnvironment({ ...torchrun, ...agent })).toEqual({
      ...config,
      attempt: 2,
      launcherHasStore: true,
    });
  });

  it('reads what srun sets', () => {
    expect(workerConfigFromEnvironment(slurm)).toEqual({
      rank: 5,
      workers: 8,
      localRank: 1,
      host: 'gpu03',
      port: 24711,
    });
    const rest = { ...slurm, SLURM_JOB_NODELIST: undefined };
    expect(
      workerConfigFromEnvironment({ ...rest, SLURM_LAUNCH_NODE_IPADDR: '10.0.0.7' }),
    ).toMatchObject({ host: '10.0.0.7' });
    expect(
      workerConfigFromEnvironment({ ...slurm, MASTER_ADDR: 'other', MASTER_PORT: '1234' }),
    ).toMatchObject({ host: 'other', port: 1234 });
  });

  it("prefers torchrun's variables under Slurm", () => {
    expect(workerConfigFromEnvironment({ ...slurm, ...torchrun })).toMatchObject({ rank: 3 });
  });

  it('is no worker alone, nor in a batch script', () => {
    expect(
      workerConfigFromEnvironment({
        ...torchrun,
        RANK: '0',
        LOCAL_RANK: '0',
        WORLD_SIZE: '1',
        LOCAL_WORLD_SIZE: '1',
      }),
    ).toBeUndefined();
    expect(workerConfigFromEnvironment({ ...slurm, SLURM_NTASKS: '1' })).toBeUndefined();
    const batch = { ...slurm, SLURM_STEP_ID: undefined, ENVIRONMENT: 'BATCH' };
    expect(workerConfigFromEnvironment(batch)).toBeUndefined();
  });

  it.each([
    [{ RANK: '1' }, /WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set, but RANK is/],
    [{ ...torchrun, MASTER_ADDR: '' }, /MASTER_ADDR not set/],
    [{ ...torchrun, RANK: '4' }, /got rank 4 of 4 workers, expected 0 to 3/],
    [{ ...torchrun, RANK: 'two' }, /RANK: got "two", expected an integer of at least 0/],
    [{ ...torchrun, MASTER_PORT: '70000' }, /MASTER_PORT: got "70000".* from 0 to 65535/],
    [{ ...torchrun, LOCAL_RANK: '2' }, /LOCAL_RANK 2 with LOCAL_WORLD_SIZE 2/],
    [{ ...torchrun, RANK: '0' }, /got local rank 1 of rank 0/],
    [{ ...torchrun, MASTER_PORT: '0' }, /got port 0 for rank 3/],
    [{ ...slurm, SLURM_LOCALID: undefined }, /SLURM_LOCALID not set/],
    [{ ...slurm, SLURM_PROCID: '8' }, /got rank 8 of 8 workers/],
    [{ ...slurm, SLURM_JOB_NODELIST: undefined }, /Set MASTER_ADDR/],
    [{ ...slurm, SLURM_JOB_ID: undefined }, /Set MASTER_PORT/],
  ])('refuses %o', (env, message) => {
    expect(() => workerConfigFromEnvironment(env)).toThrow(message);
  });
});

describe('firstHost', () => {
  it.each([
    ['gpu1', 'gpu1'],
    ['gpu1,gpu2', 'gpu1'],
    ['gpu[003-007,9],login1', 'gpu003'],
    ['rack1-n[12,14-15].local', 'rack1-n12.local'],
  ])('takes the first of %s', (list, host) => {
    expect(firstHost(list)).toBe(host);
  });

  it('refuses what is no list of nodes', () => {
    expect(() => firstHost('gpu[')).toThrow(/got the node list "gpu\["/);
  });
});
