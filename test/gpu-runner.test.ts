// The runner of the tests on a GPU, on files that end in every way that one can.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { ended } from './support/children.js';

const runner = fileURLToPath(new URL('gpu/run.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-gpu-runner-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const out = join(folder, 'out');

/** A file of tests, with `it`. */
function file(name: string, text: string): string {
  const path = join(folder, `${name}.test.mjs`);
  writeFileSync(path, `import { describe, it } from 'node:test';\n${text}\n`);
  return path;
}

const run = (...args: readonly string[]) => runWithin(240, ...args);

/** @param seconds - that a file is given from the start of its process */
function runWithin(seconds: number, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [runner, '--out', out, '--limit', String(seconds), ...args],
    { encoding: 'utf8' },
  );
  return { status, lines: stdout.trim().split('\n'), stderr };
}

const log = (name: string) => readFileSync(join(out, `${name}.log`), 'utf8');

describe('the runner of the tests on a GPU', () => {
  it('goes on after a file that fails, counts every test, and keeps what they print', () => {
    const bad = file(
      'bad',
      `it('is right', () => console.log('said'));
       describe('some', () => {
         it('are wrong', () => { throw new Error('as it must be'); });
         it('need a GPU', { skip: 'none' }, () => {});
       });`,
    );
    const good = file('good', `it('is right', () => {});`);
    const { status, lines } = run(bad, good);
    expect(status).toBe(1);
    expect(lines[1]).toMatch(/^bad +FAILED +1 passed, 1 failed, 1 skipped +\d+\.\d s$/);
    expect(lines[2]).toBe('  are wrong: as it must be');
    expect(lines[3]).toMatch(/^good +passed +1 passed, 0 failed, 0 skipped +\d+\.\d s$/);
    expect(lines[4]).toMatch(
      /^2 files: 2 passed, 1 failed, 1 skipped; \d+\.\d s\. Files that failed: bad$/,
    );
    expect(log('bad')).toContain('said');
    expect(log('bad')).toContain('as it must be');
    expect(existsSync(join(out, 'bad.log.results'))).toBe(false);
  });

  it('fails a file that hangs', () => {
    const hangs = file('hangs', `it('is right', () => { setInterval(() => {}, 1000); });`);
    // On a busy machine the process is still starting when the shortest limit is over.
    for (const seconds of [3, 15, 75]) {
      const { status, lines } = runWithin(seconds, hangs);
      if (lines[1]?.includes(' 0 passed') && seconds < 75) continue;
      expect(status).toBe(1);
      expect(lines[1]).toMatch(/^hangs +FAILED +1 passed, 0 failed, 0 skipped/);
      expect(lines[2]).toBe(
        `  was not done within ${seconds} s; where its threads were is at the end of ${join(out, 'hangs.log')}`,
      );
      return;
    }
  });

  it('fails files that crash, end with an error or have no test', () => {
    const { status, lines } = run(
      file('crashes', `it('is right', () => { process.on('exit', () => process.abort()); });`),
      file(
        'errs',
        `it('is right', () => { process.on('exit', () => { process.exitCode = 9; }); });`,
      ),
      file('empty', ''),
    );
    expect(status).toBe(1);
    const said = lines.slice(1, -1).map((line) => line.replace(/ +\d+\.\d s$/, ''));
    expect(said).toEqual([
      'crashes  FAILED  1 passed, 0 failed, 0 skipped',
      '  was ended by SIGABRT',
      'errs     FAILED  1 passed, 0 failed, 0 skipped',
      '  ended with status 9, though no test failed',
      'empty    FAILED  0 passed, 0 failed, 0 skipped',
      '  reported no test',
    ]);
  });

  it('judges a process that does not end by its tests, and says where it was', () => {
    const { status, lines } = run(
      file(
        'stays',
        `process.on('SIGTERM', () => {});
         it('is right', () => {
           process.on('exit', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
         });`,
      ),
    );
    expect(lines[1]).toMatch(/^stays +passed +1 passed, 0 failed, 0 skipped/);
    expect(lines[2]).toContain('did not end within 5 s after its last test');
    expect(log('stays')).toMatch(
      /process \d+: .*stays\.test\.mjs *\n {2}\d+ node: S \(sleeping\); /,
    );
    expect(status).toBe(0);
  });

  it('ends what runs when it is told to end', async () => {
    const pidFile = join(folder, 'pid');
    const path = file(
      'long',
      `import { writeFileSync } from 'node:fs';
       it('takes long', async () => {
         writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
         await new Promise((done) => setTimeout(done, 60_000));
       });`,
    );
    const child = spawn(process.execPath, [runner, '--out', out, path]);
    const end = ended(child);
    while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await pause(20);
    child.kill('SIGTERM');
    const { status, stdout } = await end;
    expect(status).toBe(143);
    expect(stdout).toContain('0 files: 0 passed');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const isThere = () => existsSync(`/proc/${pid}`);
    await expect.poll(isThere, { timeout: 120_000 }).toBe(false);
  });

  it.each([
    [['nothing'], "got 'nothing', expected a file that ends in .test.mjs"],
    [['--limit', '0'], "--limit: got '0', expected seconds above 0."],
    [['--what'], "Unknown option '--what'"],
  ])('refuses %j', (args, message) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});
