import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Worker } from 'node:worker_threads';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ThreadPool } from './thread-pool.js';

/** What the threads here do with a job: they give it back with the number of their thread, unless it says otherwise. */
interface Job {
  readonly value?: unknown;
  readonly bytes?: Uint8Array;
  readonly do?: 'throw' | 'throw a function' | 'exit' | 'fail later' | 'wait';
}
interface Result {
  readonly thread: number;
  readonly value: unknown;
  readonly bytes?: Uint8Array;
}

const work = `
  import { threadId, workerData } from 'node:worker_threads';
  import { doJobs } from './thread-jobs.js';
  if (workerData === 'broken') throw new Error('no start');
  doJobs((job) => {
    if (job.do === 'throw') throw new TypeError('no', { cause: new RangeError('why') });
    if (job.do === 'throw a function') throw Object.assign(new Error('odd'), { cause: () => 1 });
    if (job.do === 'exit') process.exit(3);
    if (job.do === 'fail later') queueMicrotask(() => { throw new Error('later'); });
    if (job.do === 'wait') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return { thread: threadId, value: job.value, bytes: job.bytes };
  }, ({ bytes }) => bytes ? [bytes.buffer] : []);
`;

const errors = {
  failed: (cause: unknown) => new Error('it failed', { cause }),
  ended: (status: number) => new Error(`it ended with ${status}`),
  closed: () => new Error('it is closed'),
};

let folder: string;
let script: URL;
let pool: ThreadPool<Job, Result>;
let started: Worker[];
const count = (worker: Worker): void => void started.push(worker);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-thread-pool-'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  for (const name of ['thread-jobs', 'thread-pool']) {
    const text = readFileSync(new URL(`./${name}.ts`, import.meta.url), 'utf8');
    const { outputText } = ts.transpileModule(text, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(folder, `${name}.js`), outputText);
  }
  writeFileSync(join(folder, 'work.js'), work);
  script = pathToFileURL(join(folder, 'work.js'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  started = [];
  process.on('worker', count);
  pool = new ThreadPool(script, 2, errors);
});
afterEach(async () => {
  process.off('worker', count);
  await pool.close();
});

const jobs = async (number: number): Promise<Result[]> =>
  Promise.all(Array.from({ length: number }, (_, value) => pool.run({ value })));

describe('ThreadPool', () => {
  it('starts no more threads than there is work for, and uses those that are idle', async () => {
    expect(started).toHaveLength(0);
    for (let value = 0; value < 3; value++) expect((await pool.run({ value })).value).toBe(value);
    expect(started).toHaveLength(1);
    const results = await jobs(6);
    expect(results.map(({ value }) => value)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(started).toHaveLength(2);
    const of = (thread: number): number => results.filter((each) => each.thread === thread).length;
    expect([...new Set(results.map(({ thread }) => thread))].map(of)).toEqual([3, 3]);
  });

  it('moves memory in both directions', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const result = await pool.run({ bytes }, [bytes.buffer]);
    expect(bytes).toHaveLength(0);
    expect([...(result.bytes ?? [])]).toEqual([1, 2, 3]);
  });

  it('gives the error of a job with its cause, and its thread does the next one', async () => {
    const { thread } = await pool.run({});
    const error: unknown = await pool.run({ do: 'throw' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ message: 'it failed' });
    const { cause } = error as Error;
    expect(cause).toBeInstanceOf(TypeError);
    expect(cause).toMatchObject({ message: 'no', cause: { name: 'RangeError', message: 'why' } });
    await expect(pool.run({ do: 'throw a function' })).rejects.toMatchObject({
      cause: { message: 'Error: odd' },
    });
    expect((await pool.run({})).thread).toBe(thread);
  });

  it.each<[NonNullable<Job['do']>, object]>([
    ['exit', { message: 'it ended with 3' }],
    ['fail later', { message: 'it failed', cause: { message: 'later' } }],
  ])(
    'refuses all jobs of a thread that is lost by "%s", and starts another',
    async (how, words) => {
      pool = new ThreadPool(script, 1, errors);
      const { thread } = await pool.run({});
      // Whether the answer to this one still comes is not said.
      const first = pool.run({ do: how }).catch(() => undefined);
      await expect(pool.run({})).rejects.toMatchObject(words);
      await first;
      expect((await pool.run({})).thread).not.toBe(thread);
      expect(started).toHaveLength(2);
    },
  );

  it('says why a thread cannot start, to every job', async () => {
    const broken = new ThreadPool<Job, Result>(script, 2, errors, 'broken');
    for (let i = 0; i < 2; i++) {
      await expect(broken.run({})).rejects.toMatchObject({ cause: { message: 'no start' } });
    }
    const missing = new ThreadPool<Job, Result>(new URL('missing.js', script), 1, errors);
    await expect(missing.run({})).rejects.toMatchObject({
      cause: { message: expect.stringContaining('missing.js') as string },
    });
    await Promise.all([broken.close(), missing.close()]);
  });

  it('refuses a job that cannot be sent, and goes on', async () => {
    await expect(pool.run({ value: () => 1 })).rejects.toMatchObject({ name: 'DataCloneError' });
    expect((await pool.run({ value: 7 })).value).toBe(7);
    expect(started).toHaveLength(1);
  });

  it('is closed once and for all, and refuses what is being done', async () => {
    const busy = [pool.run({ do: 'wait' }), pool.run({ do: 'wait' }), pool.run({})];
    const ends = Promise.allSettled(busy);
    await pool.close();
    for (const end of await ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { message: 'it is closed' } });
    }
    await expect(pool.run({})).rejects.toThrow('it is closed');
    await pool.close();
    expect(started).toHaveLength(2);
    expect(started.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });

  it('hears each thread once, however many jobs it does', async () => {
    await jobs(40);
    for (const worker of started) {
      for (const event of ['message', 'error', 'messageerror', 'exit']) {
        expect(worker.listenerCount(event)).toBe(1);
      }
    }
  });

  it('works in a script of the command line, and lets its process end', () => {
    const module = JSON.stringify(pathToFileURL(join(folder, 'thread-pool.js')).href);
    const text = `
      const { ThreadPool } = await import(${module});
      const errors = { failed: (cause) => cause, ended: (status) => new Error(status) };
      const pool = new ThreadPool(new URL(${JSON.stringify(script.href)}), 2, errors);
      const { value } = await pool.run({ value: 7 });
      const refused = await pool.run({ value: () => 1 }).catch(({ name }) => name);
      console.log(value, refused);
    `;
    const args = ['--input-type=module', '-e', text];
    const printed = execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
    expect(printed).toBe('7 DataCloneError\n');
  });
});
