// Signals that arrive while operators run. In child processes: what goes wrong ends the process.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { support, transpiledLibtorch } from '../../../test/support/transpiled.js';

const built = transpiledLibtorch();
afterAll(() => {
  built.remove();
});

interface Seen {
  readonly calm: string;
  readonly stormy: readonly string[];
  readonly handled: number;
  readonly threads: readonly { readonly name: string; readonly takes: boolean }[];
}

describe.each([1, 2, 4])('signals during operators on %i threads', (threads) => {
  it('change no number, end no process, and reach their listeners through a thread that never computes', () => {
    // On AVX2 and AVX-512 a few hundred ended the process when the threads that compute took them.
    const line = [join(support, 'signals-child.mjs'), built.src, String(threads), '6000'];
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, line, {
      encoding: 'utf8',
      // One OpenBLAS has threads of its own, made when it is loaded. They stay on their stacks, so signals may reach them.
      env: { ...process.env, OPENBLAS_NUM_THREADS: '1' },
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    const seen = JSON.parse(stdout) as Seen;
    // The same numbers in the same order: sums do not depend on when a thread is interrupted.
    expect(seen.stormy).toEqual([seen.calm]);
    expect(seen.handled).toBeGreaterThan(0);
    expect(seen.threads.filter(({ takes }) => takes).map(({ name }) => name)).toEqual(['signals']);
    // This one with its team, and the one that takes signals.
    expect(seen.threads.length).toBeGreaterThanOrEqual(threads + 1);
  });
});
