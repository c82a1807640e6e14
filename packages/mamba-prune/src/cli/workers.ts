// A command that runs as one of several workers: joins the others, and is quiet unless it leads them.
import type { distributed } from '@mamba-prune/libtorch';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import { mostProcesses } from '../limits.js';
import { Context, InterruptedError } from './context.js';
import type { CommonOptions } from './options/common.js';
import { integerOption } from './options/parse.js';
import type { CliIo } from './terminal/io.js';
import { interruptible } from './work.js';

export interface WorkerOptions {
  readonly workers?: number;
}

export function addWorkerOptions(command: Command): void {
  command
    .optionsGroup('Workers:')
    .addOption(
      integerOption(
        '--workers <n>',
        'number of processes on this machine that share every batch, each on a GPU of its own if there are any; --batch-size ' +
          'counts the images of all of them (default: 1, or as torchrun or srun started)',
        { min: 1, max: mostProcesses },
      ),
    );
}

export interface Workers<O extends CommonOptions> {
  readonly group: distributed.ProcessGroup;
  /** Writes nothing unless this is rank 0; its device is the worker's own. */
  readonly context: Context<O>;
}

/**
 * Runs `body` as one of the workers that torchrun, srun or `--workers` started, or starts them, or runs
 * it alone. An error in one worker ends all of them: the others' names its rank.
 */
export async function withWorkers<O extends CommonOptions & WorkerOptions>(
  context: Context<O>,
  body: (workers: Workers<O> | undefined) => Promise<void>,
): Promise<void> {
  const { io, options } = context;
  const isWorker = ['RANK', 'WORLD_SIZE', 'SLURM_PROCID'].some(
    (name) => io.env[name] !== undefined,
  );
  const config = isWorker ? await configOf(io.env) : undefined;
  if (config === undefined) {
    if ((options.workers ?? 1) === 1) return body(undefined);
    const { launchWorkers } = await import('./launch.js');
    return launchWorkers(context, options.workers ?? 1);
  }
  const { rank, workers } = config;
  if (options.workers !== undefined && options.workers !== workers) {
    throw new UsageError(
      `--workers: got ${options.workers}, but the launcher started ${workers}. Leave it out.`,
    );
  }
  try {
    await asWorker(context, config, body);
  } catch (error) {
    // The class stays, and with it the exit status.
    if (rank > 0 && error instanceof Error) error.message = `rank ${rank}: ${error.message}`;
    throw error;
  }
}

async function configOf(env: NodeJS.ProcessEnv): Promise<distributed.WorkerConfig | undefined> {
  const { distributed } = await import('@mamba-prune/libtorch');
  try {
    return distributed.workerConfigFromEnvironment(env);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

async function asWorker<O extends CommonOptions & WorkerOptions>(
  given: Context<O>,
  config: distributed.WorkerConfig,
  body: (workers: Workers<O>) => Promise<void>,
): Promise<void> {
  const { distributed } = await import('@mamba-prune/libtorch');
  const { chooseWorkerDevice } = await import('./device.js');
  const io = config.rank === 0 ? given.io : silent(given.io);
  const note = (text: string): void => {
    if (config.rank === 0) given.note(text);
  };
  const device = chooseWorkerDevice(given.options.device, config.localRank, note);
  const options = { ...given.options, device };
  const context = new Context<O>(io, options, given.given, given.argv, given.flags);
  stopWithLauncher();
  const group = await interruptible(context, (signal) =>
    distributed.ProcessGroup.open(config, {
      device,
      signal,
      onListening: (port) => process.send?.({ port }),
    }),
  );
  try {
    await body({ group, context });
    group.close();
  } catch (error) {
    const isShared =
      error instanceof distributed.WorkerLostError || error instanceof InterruptedError;
    if (isShared) group.close();
    else group.fail(error instanceof Error ? error.message : String(error));
    throw config.rank > 0 && error instanceof InterruptedError
      ? new InterruptedError('stopped.')
      : error;
  } finally {
    context.progress.end();
  }
}

/** Without its launcher nobody would see or stop a worker. */
function stopWithLauncher(): void {
  if (process.channel === undefined) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel.unref();
}

function silent({ env }: CliIo): CliIo {
  const nothing = { write: () => true };
  return { stdout: nothing, stderr: nothing, env };
}

/** What rank 0 makes, for every worker: its run may be on rank 0's machine only. Plain JSON. */
export async function agreed<T, O extends CommonOptions>(
  workers: Workers<O> | undefined,
  make: () => Promise<T>,
): Promise<T> {
  if (workers === undefined) return make();
  const { group } = workers;
  const text = group.rank === 0 ? JSON.stringify(await make()) : '';
  return JSON.parse(group.broadcastText(text)) as T;
}
