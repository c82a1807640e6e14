// Nothing JavaScript passes to an operator may end the process. Calls run in child processes, so that
// a crash is a failed test with the operator's name.
//
// The seed and the number of calls per operator are fixed here; for a longer search:
//   FUZZ_TRIALS=50 FUZZ_SEED=7 npx vitest run packages/libtorch/src/fuzz.test.ts
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { endsWithTests } from '../../../test/support/children.js';
import { support, transpiledLibtorch } from '../../../test/support/transpiled.js';
import { TorchError, callOperator, empty, fromTypedArray, ones, ops, tensor } from './index.js';

const built = transpiledLibtorch();
afterAll(() => {
  built.remove();
});

const seed = Number(process.env.FUZZ_SEED ?? 2);
const trials = process.env.FUZZ_TRIALS === undefined ? undefined : Number(process.env.FUZZ_TRIALS);
/** A net for what never ends; a machine that is busy with other things may be slow. */
const patience = trials === undefined ? 600_000 : 7_200_000;

/**
 * A call that computes for so many seconds counts as legitimate but endless work, and is passed over. They
 * are the processor's, for a process that is not given it is not at fault; those of the clock are for calls
 * that wait instead of computing.
 */
const hangSeconds = { computing: 3, waiting: 60 };

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly errors: string;
  readonly hung: boolean;
}

/** Seconds. */
interface Spent {
  readonly computing: number;
  readonly waiting: number;
}

/** What a process has taken of the processor, where the system says so; and what the clock shows. */
function spentBy(pid: number): Spent {
  const waiting = performance.now() / 1000;
  try {
    // proc(5): the name, in brackets, may hold anything; user and system time follow, in hundredths.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return { computing: (Number(fields[11]) + Number(fields[12])) / 100, waiting };
  } catch {
    return { computing: 0, waiting };
  }
}

function run(script: string, args: readonly string[], log?: string): Promise<Ended> {
  return new Promise((resolve) => {
    // A limit on the address space makes a huge allocation an error wherever the kernel would rather
    // promise the memory now and kill the process later. V8 and the libraries take 2 of the 6 GB.
    const command = 'ulimit -c 0; ulimit -v 6000000; exec "$0" "$@"';
    const child = endsWithTests(
      spawn('sh', ['-c', command, process.execPath, join(support, script), ...args], {
        env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
      }),
    );
    let out = '';
    let errors = '';
    let hung = false;
    child.stdout.on('data', (data: Buffer) => (out += data.toString()));
    child.stderr.on('data', (data: Buffer) => (errors = (errors + data.toString()).slice(-2000)));
    let seen: { readonly call: number; readonly at: Spent } | undefined;
    const watch = setInterval(() => {
      const call = log ? statSync(log, { throwIfNoEntry: false })?.mtimeMs : undefined;
      // No log yet: it is still starting, which is no call.
      if (call === undefined) return;
      const now = spentBy(child.pid ?? 0);
      if (seen?.call !== call) seen = { call, at: now };
      const { computing, waiting } = seen.at;
      if (
        now.computing - computing > hangSeconds.computing ||
        now.waiting - waiting > hangSeconds.waiting
      ) {
        hung = child.kill('SIGKILL');
      }
    }, 100);
    child.on('close', (code, signal) => {
      clearInterval(watch);
      resolve({ code, signal, out, errors, hung });
    });
  });
}

interface Fuzzed {
  /** Those that ended the process, with what was passed. */
  readonly crashes: readonly string[];
  readonly operators: number;
  /** Of all the processes that it took. */
  readonly calls: number;
}

/** Fuzzes to the end whatever crashes or hangs on the way, and tells what did. */
async function fuzz(what: 'aten' | 'typed', perOperator: number): Promise<Fuzzed> {
  const log = join(built.folder, `${what}.log`);
  const crashes: string[] = [];
  let calls = 0;
  for (let from = 0; ;) {
    // What the child before wrote is not of this one.
    rmSync(log, { force: true });
    const options = { src: built.src, log, seed, what, trials: trials ?? perOperator, from };
    const ended = await run('fuzz-child.mjs', [JSON.stringify(options)], log);
    if (ended.code === 0) {
      const last = JSON.parse(ended.out) as { operators: number; calls: number };
      return { crashes, operators: last.operators, calls: calls + last.calls };
    }
    const last = existsSync(log) ? readFileSync(log, 'utf8').trim() : '';
    const [, count, index] = /^(\d+) (\d+) /.exec(last) ?? [];
    if (count === undefined || index === undefined) {
      throw new Error(
        `the child ended before its first call: ${ended.signal ?? ended.code}\n${ended.errors}`,
      );
    }
    if (!ended.hung) crashes.push(`${ended.signal ?? ended.code}: ${last}\n${ended.errors}`);
    calls += Number(count);
    from = Number(index) + 1;
  }
}

describe('hostile arguments', () => {
  it(
    'never end the process, whatever operator of libtorch they reach',
    { timeout: patience },
    async () => {
      const { crashes, operators, calls } = await fuzz('aten', 1);
      expect(crashes).toEqual([]);
      expect(operators).toBeGreaterThan(1000);
      // With more calls of each, those that come after an endless one are passed over too.
      if (trials === undefined) expect(calls).toBe(operators);
      else expect(calls).toBeGreaterThanOrEqual(operators);
    },
  );

  it('never end the process through the typed functions', { timeout: patience }, async () => {
    const { crashes, operators, calls } = await fuzz('typed', 3);
    expect(crashes).toEqual([]);
    expect(operators).toBeGreaterThan(200);
    expect(calls).toBeGreaterThanOrEqual(operators);
    expect(calls).toBeLessThanOrEqual((trials ?? 3) * operators);
  });

  it('are refused with the name of the operator and of the argument', () => {
    const x = ones([2]);
    const call = (...args: unknown[]): unknown =>
      (callOperator as (...all: unknown[]) => unknown)('aten::add.Tensor', ...args);
    expect(() => call(x)).toThrow(/aten::add.*argument 'other' is missing/);
    expect(() => call(x, 'y')).toThrow(/argument 'other': got string 'y', expected a live tensor/);
    expect(() => call(x, Symbol('s'))).toThrow(/got a symbol, expected a live tensor/);
    expect(() => call(x, 10n)).toThrow(/got a bigint/);
    expect(() => call(x, () => 1)).toThrow(/got a function/);
    expect(() => call(x, [[1]])).toThrow(/got an array of 1 elements/);
    expect(() => call(x, x, 1, 2)).toThrow(/got 4 arguments, expected at most 3/);
    expect(() => ops.sumDim(x, 0.5)).toThrow(/argument 'dim': got number 0.5, expected an integer/);
    expect(() => ops.sumDim(x, NaN)).toThrow(TorchError);
    expect(() => ops.sumDim(x, -Infinity)).toThrow(/got number -Infinity/);
    // Handles are numbers within [2^51, 2^51 + 2^49); no other number may be taken for one.
    for (const number of [7, Infinity, -(2 ** 51), 2 ** 51 + 2 ** 49, 2 ** 52, 1e300]) {
      expect(() => call(x, number)).toThrow(`got number ${number}, expected a live tensor`);
    }
    expect(() => call(x, 2 ** 51 + 12345)).toThrow(/got a disposed tensor or generator/);
    expect(() => x.reshape(2 ** 60)).toThrow(/expected an integer within 2\^53/);
  });

  it('for lists of fixed length are checked before libtorch reads them', () => {
    const image = ones([1, 1, 4, 4]);
    expect(() => ops.maxPool2d(image, [2, 2, 2])).toThrow(
      /'kernel_size': got 3 numbers, expected 2/,
    );
    expect(ops.maxPool2d(image, [2]).shape).toEqual([1, 1, 2, 2]);
    expect(ops.maxPool2d(image, 2, []).shape).toEqual([1, 1, 2, 2]);
  });

  it('for enumerations are checked before libtorch uses them as an index', () => {
    expect(() => callOperator('aten::empty.memory_format', [2], 1000)).toThrow(/'dtype': got 1000/);
    expect(() => callOperator('aten::resize_', ones([2]), [2], -3)).toThrow(/'memory_format'/);
  });

  it('for sizes beyond all memory are an error', () => {
    expect(() => empty([2 ** 45])).toThrow(TorchError);
    expect(() => empty([2 ** 31, 2 ** 31, 8])).toThrow(TorchError);
    expect(() => empty([-1])).toThrow(/negative/);
    expect(() => ones([1]).repeat(2 ** 45)).toThrow(TorchError);
    expect(() => fromTypedArray(new Float32Array(1), [2 ** 45])).toThrow(RangeError);
  });

  it('that libtorch is known to crash on are not offered', () => {
    expect(() => callOperator('aten::_stack', [], 0)).toThrow(/can end the process on bad input/);
    for (const name of ['embedding_bag', 'embedding_bag.padding_idx', 'unfold_backward.out']) {
      expect(() => callOperator(`aten::${name}`)).toThrow(/can end the process on bad input/);
    }
    expect(() => callOperator('aten::from_file', 'x')).toThrow(/can end the process on bad input/);
    expect(() => callOperator('mamba_prune::bias_gelu_backward', tensor(1))).toThrow(/is private/);
    expect(() => callOperator('aten::lstm.input', tensor(1))).toThrow(/is not offered/);
    expect(() => callOperator('aten::no_such_operator', tensor(1))).toThrow(/no such operator/);
  });
});

describe('worker threads', () => {
  it('each have an addon of their own, and may stop at any moment', async () => {
    const ended = await run('worker-child.mjs', [built.src]);
    expect(ended).toMatchObject({ code: 0, signal: null });
    expect(JSON.parse(ended.out)).toEqual({
      same: [true, true, true],
      here: true,
      tensors: 1,
      sum: 3,
    });
  });
});
