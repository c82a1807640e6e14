// `npm start` of the example of a web page, as a service runs it: without a stdin.
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const example = fileURLToPath(new URL('../examples/browser/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'browser-start-'));
let started: ChildProcess | undefined;
afterEach(() => {
  // The group, should the signal of the test not have ended all of it.
  if (started?.pid !== undefined) endGroup(started.pid);
  rmSync(folder, { recursive: true, force: true });
});

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: all of it has ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const isServing = async (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ status }) => status === 200,
    () => false,
  );

describe('npm start of the browser example', () => {
  it('serves without a stdin, until npm gets a signal', async () => {
    cpSync(join(example, 'public', 'index.html'), join(folder, 'index.html'));
    // Port 0 is one that is free.
    const flags = [
      `--servedir=${folder}`,
      `--outdir=${join(folder, 'dist')}`,
      '--serve=localhost:0',
    ];
    const child = spawn('npm', ['start', '--', ...flags], {
      cwd: example,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    started = child;
    const ended = new Promise<void>((end) =>
      child.once('exit', () => {
        end();
      }),
    );
    const url = await new Promise<string>((found, fail) => {
      let said = '';
      child.stderr.on('data', (text: Buffer) => {
        said += text.toString();
        const [at] = /http:\/\/127\.0\.0\.1:\d+\//.exec(said) ?? [];
        if (at !== undefined && said.includes('build finished')) found(at);
      });
      void ended.then(() => {
        fail(new Error(`it ended: ${said}`));
      });
    });
    expect(await (await fetch(new URL('dist/main.js', url))).text()).not.toBe('');
    // esbuild notices that there is no stdin in less time.
    await new Promise((later) => setTimeout(later, 500));
    expect(await isServing(url)).toBe(true);
    child.kill('SIGTERM');
    await ended;
    await expect.poll(() => isServing(url), { timeout: 120_000 }).toBe(false);
  });
});
