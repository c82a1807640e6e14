// Runs many commands side by side on the GPUs of one machine: each GPU has some slots, a job takes one or more of them, and waits
// for the jobs that it names. What is going on is written into a file as it changes, so that a watcher, and whoever comes after
// the machine was lost, can tell what was done.
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} Job
 * @property {string} name - Its own; also the name of its log.
 * @property {string[]} command
 * @property {string[]} [after] - Names of the jobs that must have succeeded.
 * @property {number} [gpu] - The only GPU that it may run on; else any.
 * @property {number} [slots] - Slots that it takes (default 1); all of them for a job that nothing may run beside.
 * @property {number} [seconds] - About how long it takes: it is not begun with less time left (default 60).
 * @property {number} [limit] - Seconds after which it is ended (default: none).
 * @property {Record<string, string>} [environment]
 * @property {() => void} [done] - Called once it has succeeded.
 */

/** Of the file in `logs` that has what a job prints. */
export const logName = (job) => `${job.replaceAll('/', '-')}.txt`;

const stopGraceMs = 10_000;

/**
 * Runs the jobs in their order, as far as slots and time allow, and resolves with the state of each.
 *
 * @param {Job[]} jobs
 * @param {{ gpus: number[], slots: number, out: string, deadline: number }} options - The deadline in ms, as `Date.now()` counts:
 *   no job is begun that would not end before it, and those still running then are ended.
 */
export function runJobs(jobs, { gpus, slots, out, deadline }) {
  mkdirSync(join(out, 'logs'), { recursive: true });
  const started = Date.now();
  const states = new Map(jobs.map(({ name }) => [name, { status: 'waiting' }]));
  if (states.size !== jobs.length) throw new Error('Two jobs have the same name.');
  for (const { name, after = [] } of jobs)
    for (const needed of after)
      if (!states.has(needed))
        throw new Error(`The job ${name} waits for ${needed}, which is not among the jobs.`);
  const free = new Map(gpus.map((gpu) => [gpu, slots]));
  const running = new Map();
  const seconds = () => Math.round((Date.now() - started) / 1000);

  const save = () => {
    const file = join(out, 'state.json');
    writeFileSync(
      `${file}.tmp`,
      `${JSON.stringify({ seconds: seconds(), jobs: Object.fromEntries(states) }, null, 1)}\n`,
    );
    renameSync(`${file}.tmp`, file);
  };

  const isReady = ({ name, after = [] }) =>
    states.get(name).status === 'waiting' &&
    after.every((needed) => states.get(needed).status === 'done');

  /** The next job for a GPU: the first that is ready and may run there, unless it has to wait for slots. */
  const nextFor = (gpu) => {
    const left = (deadline - Date.now()) / 1000;
    const job = jobs.find(
      (job) => isReady(job) && (job.gpu ?? gpu) === gpu && (job.seconds ?? 60) <= left,
    );
    return job && Math.min(job.slots ?? 1, slots) <= free.get(gpu) ? job : undefined;
  };

  return new Promise((resolve) => {
    const start = (job, gpu) => {
      const taken = Math.min(job.slots ?? 1, slots);
      free.set(gpu, free.get(gpu) - taken);
      const state = { status: 'running', gpu, from: seconds() };
      states.set(job.name, state);
      const log = openSync(join(out, 'logs', logName(job.name)), 'w');
      const [program, ...args] = job.command;
      const child = spawn(program, args, {
        stdio: ['ignore', log, log],
        env: { ...process.env, CUDA_VISIBLE_DEVICES: String(gpu), ...job.environment },
      });
      closeSync(log);
      const timer = job.limit && setTimeout(() => end(child), job.limit * 1000);
      running.set(job.name, child);
      let isOver = false;
      const finish = (code) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        running.delete(job.name);
        free.set(gpu, free.get(gpu) + taken);
        Object.assign(state, { status: code === 0 ? 'done' : 'failed', code, to: seconds() });
        if (code === 0)
          try {
            job.done?.();
          } catch (error) {
            Object.assign(state, { status: 'failed', error: String(error) });
          }
        advance();
      };
      child.on('error', (error) => finish(String(error)));
      child.on('exit', (code, signal) => finish(code ?? signal));
    };

    const advance = () => {
      for (const gpu of gpus) for (let job = nextFor(gpu); job; job = nextFor(gpu)) start(job, gpu);
      save();
      if (running.size === 0) {
        clearTimeout(closing);
        resolve(Object.fromEntries(states));
      }
    };

    const closing = setTimeout(
      () => {
        for (const child of running.values()) end(child);
      },
      Math.max(0, deadline - Date.now()),
    );
    advance();
  });
}

/** Asks a process to stop, which leaves a checkpoint of a training, and ends it when it does not. */
function end(child) {
  child.kill('SIGINT');
  setTimeout(() => child.kill('SIGKILL'), stopGraceMs).unref();
}
