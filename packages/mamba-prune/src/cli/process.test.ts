// The program as users start it: real processes on the compiled files.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const packageFolder = fileURLToPath(new URL('../../', import.meta.url));
const main = join(packageFolder, 'dist', 'cli', 'main.js');
let folder = '';

beforeAll(async () => {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  spawnSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-b', packageFolder]);
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-process-'));
  for (const part of ['train', 'test']) {
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, 'images', part, name), { recursive: true });
      const shade = name === 'a' ? 30 : 220;
      const background = { r: shade, g: 0, b: 0 };
      for (let i = 0; i < 16; i++) {
        await sharp({ create: { width: 8, height: 8, channels: 3, background } })
          .png()
          .toFile(join(folder, 'images', part, name, `${i}.png`));
      }
    }
  }
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(argv: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...argv], {
    env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), FORCE_COLOR: '' },
    cwd: folder,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((done) => {
    child.on('close', (status) => {
      done({ status, stdout, stderr });
    });
  });
  return { child, ended };
}

const trainArgs = [
  ...['train', '--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--image-size', '8'],
  ...['--dataset', 'folder', '--data', 'images', '--batch-size', '4', '--augment', 'none'],
  ...['--threads', '1', '--device', 'cpu'],
];

describe('mamba-prune', () => {
  it('is a script that node runs, with the version of the package', async () => {
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await start(['--version']).ended).toEqual({
      status: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('ends with 2 and a line on stderr for wrong usage', async () => {
    const { status, stdout, stderr } = await start(['train', '--lr', 'fast']).ended;
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^mamba-prune train: option '--lr <rate>' argument 'fast' is invalid/);
    expect(stderr).not.toContain('    at ');
  });

  describe('while it trains', () => {
    // So many that a training is not over before a busy machine lets this process send its signal.
    const epochs = '60';
    const bytes = (run: string): Buffer => readFileSync(join(folder, run, 'model.safetensors'));

    beforeAll(async () => {
      const whole = start([...trainArgs, '--epochs', epochs, '--out', 'whole']);
      const { status, stdout, stderr } = await whole.ended;
      expect(status).toBe(0);
      // Not a terminal: no colours, and no bar that redraws itself.
      expect(stderr).toMatch(/^ +60\/60 /m);
      // eslint-disable-next-line no-control-regex
      expect(stdout + stderr).not.toMatch(/[\r\u001b]/);
    });

    /** Trains, and gets the signal after two epochs. */
    async function trainAndSignal(name: NodeJS.Signals, out: string): Promise<Ended> {
      const { child, ended } = start([...trainArgs, '--epochs', epochs, '--out', out]);
      let seen = '';
      let asked = false;
      child.stderr?.on('data', (chunk: Buffer) => {
        seen += chunk.toString();
        if (!asked && / 2\/60 /.test(seen)) asked = child.kill(name);
      });
      const result = await ended;
      expect(asked).toBe(true);
      return result;
    }

    it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
      'stops at %s with 130, says how to go on, and ends as if nothing had happened',
      async (name) => {
        const out = `parts-${name}`;
        const stopped = await trainAndSignal(name, out);
        expect(stopped.stderr).toContain(
          `Go on with:  mamba-prune train --resume --out ${out} --threads 1 --device cpu`,
        );
        expect(stopped.status).toBe(130);

        const resumed = await start(['train', '--resume', '--out', out, '--threads', '1']).ended;
        expect(resumed.status).toBe(0);
        expect(bytes(out).equals(bytes('whole'))).toBe(true);
      },
    );
  });
});
