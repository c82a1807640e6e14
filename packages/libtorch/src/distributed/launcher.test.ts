// Workers whose launcher holds a store, as torchrun does: it tells them where that of rank 0 is.
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledLibtorch } from '../../../../test/support/transpiled.js';
import { native } from '../native.js';
import { libtorchVersion } from '../runtime.js';

const built = transpiledLibtorch();
const testing = join(built.src, 'distributed', 'testing');
const launcher = fileURLToPath(new URL('testing/launcher.py', import.meta.url));
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  built.remove();
});

/** A python3 whose torch is our libtorch's: launcher and worker must speak alike. */
const python = ['python3', '/usr/bin/python3'].find((command) => {
  const minor = (version: string) => version.split('.').slice(0, 2).join('.');
  try {
    const script = 'import torch; print(torch.__version__)';
    return (
      minor(execFileSync(command, ['-c', script], { stdio: 'pipe' }).toString()) ===
      minor(libtorchVersion())
    );
  } catch {
    return false; // no such python3, or one without torch
  }
});

/** With a value under the key of rank 0's address. */
async function launch(stale: string): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(python ?? '', [launcher, 'mamba_prune/0/address', stale], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  // A line comes in as many pieces as the pipe makes of it.
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, port: Number(line) };
}

function worker(mode: string, rank: number, port: number) {
  const child = fork(join(testing, 'group-child.mjs'), [mode], {
    env: {
      ...process.env,
      OMP_NUM_THREADS: '1',
      RANK: String(rank),
      WORLD_SIZE: '2',
      LOCAL_RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: String(port),
      TORCHELASTIC_USE_AGENT_STORE: 'True',
      // So long that a killed worker is noticed by its connection's end, or not in time.
      SILENCE_MS: '1000000',
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  children.add(child);
  let output = '';
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString()));
  const running = new Promise<void>((resolve) => {
    child.stdout?.on('data', (text: Buffer) => {
      output += text.toString();
      resolve();
    });
  });
  const ended = new Promise<object>((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ code, signal, errors, output: output.trim().split('\n').at(-1) ?? '' });
    });
  });
  return { child, running, ended };
}

describe.skipIf(python === undefined)(
  'a launcher with a store (needs a python3 with the torch of our libtorch)',
  () => {
    it.each([
      ['nobody listens at', JSON.stringify({ host: '127.0.0.1', port: 1 })],
      ['is none', 'nonsense'],
    ])('leads to rank 0, though an address of an earlier attempt %s', async (_, stale) => {
      const { port } = await launch(stale);
      // Rank 1 comes first, and finds what is left over.
      const one = worker('collectives', 1, port);
      const zero = worker('collectives', 0, port);
      for (const end of await Promise.all([zero.ended, one.ended])) {
        expect(end, JSON.stringify(end)).toMatchObject({ code: 0, signal: null });
        expect((end as { output: string }).output).toContain('"sum":[2,1,1]');
      }
    });

    it('is not needed once the workers have met', async () => {
      const { child, port } = await launch('');
      const [zero, one] = [worker('endless', 0, port), worker('endless', 1, port)];
      await Promise.all([zero.running, one.running]);
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      zero.child.kill('SIGKILL');
      expect(await one.ended).toMatchObject({
        code: 1,
        signal: null,
        errors: '',
        output: expect.stringContaining('rank 0 is gone') as string,
      });
    });
  },
);

describe('the exchange with a launcher', () => {
  it('throws where the launcher dies meanwhile', async () => {
    const child = fork(join(testing, 'store-child.mjs'), ['reset']);
    children.add(child);
    const [port] = (await once(child, 'message')) as [number];
    // Some libtorch give up at once, others try again until the time given is over.
    const milliseconds = 200;
    for (let i = 0; i < 10; i++) {
      expect(() => native.launcherGet('127.0.0.1', port, 'key', milliseconds)).toThrow(
        /^launcherGet: /,
      );
      expect(() => {
        native.launcherSet('127.0.0.1', port, 'key', 'value', milliseconds);
      }).toThrow(/^launcherSet: /);
    }
  });
});
