// The program as users start it: real processes.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { shadesTraining, writeShades } from './testing/shades.js';
import { startProgram } from './testing/start-program.js';

const packageFolder = fileURLToPath(new URL('../../', import.meta.url));
const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-process-'));
  await writeShades(join(folder, 'images'), 16);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  built.remove();
});

/** @param signalWhen - for signal-self.mjs */
const start = (argv: readonly string[], signalWhen?: object) =>
  startProgram(main, argv, { folder, signalWhen });

const trainArgs = [...shadesTraining(4), '--threads', '1'];

describe('mamba-prune', () => {
  it('is a script that node runs, with the version of the package', async () => {
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await start(['--version'])).toEqual({
      status: 0,
      signal: null,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('ends with 2 and a line on stderr for wrong usage', async () => {
    const { status, stdout, stderr } = await start(['train', '--lr', 'fast']);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^mamba-prune train: option '--lr <rate>' argument 'fast' is invalid/);
    expect(stderr).not.toContain('    at ');
  });

  describe('while it trains', () => {
    const train = [...trainArgs, '--epochs', '12', '--out'];
    const bytes = (run: string): Buffer => readFileSync(join(folder, run, 'model.safetensors'));

    beforeAll(async () => {
      const { status, stdout, stderr } = await start([...train, 'whole']);
      expect(status).toBe(0);
      // Not a terminal: no colours, and no bar that redraws itself.
      expect(stderr).toMatch(/^ +12\/12 /m);
      // eslint-disable-next-line no-control-regex
      expect(stdout + stderr).not.toMatch(/[\r\u001b]/);
    });

    it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
      'stops at %s with 130, says how to go on, and ends as if nothing had happened',
      async (signal) => {
        const out = `parts-${signal}`;
        const stopped = await start([...train, out], { pattern: ' 2/12 ', signal });
        expect(stopped.stderr).toContain(
          `Go on with:  npx mamba-prune train --resume --out ${out} --threads 1 --device cpu`,
        );
        expect(stopped.status).toBe(130);

        const resumed = await start(['train', '--resume', '--out', out, '--threads', '1']);
        expect(resumed.status).toBe(0);
        expect(bytes(out).equals(bytes('whole'))).toBe(true);
      },
    );

    it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
      'ends with 0 if %s comes when all is done and saved',
      async (signal) => {
        const out = `late-${signal}`;
        const { status, stdout } = await start([...train, out], {
          pattern: 'test accuracy',
          signal,
        });
        expect(stdout).toContain('model.safetensors');
        expect(status).toBe(0);
        expect(bytes(out).equals(bytes('whole'))).toBe(true);
      },
    );
  });
});
