// The program in surroundings where something is missing, full or closed: a sentence and an honest status.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { support, transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { fewestOpenFiles } from './surroundings.js';
import { runCli } from './testing/run-cli.js';

const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-surroundings-'));
  manualSeed(0);
  const model = createModel('mamba_nano', { dModel: 8, depth: 1, channels: 1, imageSize: 28 });
  saveModel(join(folder, 'm.safetensors'), model, {
    classes: Array.from({ length: 10 }, (_, i) => `class ${i}`),
    mean: [0.5],
    std: [0.5],
    dataset: 'fashion-mnist',
    history: [],
  });
  model.dispose();
  writeFileSync(join(folder, 'file'), '');
  symlinkSync(join(folder, 'no', 'where'), join(folder, 'dangling'));
  symlinkSync('loop', join(folder, 'loop'));
});

afterAll(() => {
  built.remove();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const training =
  '--arch mamba_nano --d-model 8 --depth 1 --dataset fashion-mnist --train-images 32 ' +
  '--test-images 16 --batch-size 16 --epochs 1 --threads 1 --device cpu --augment none';

/** In this process: for what no surroundings of the process itself have a part in. */
async function here(words: string): Promise<Ended> {
  const ended = await runCli(words.split(' '));
  expect(ended.stdout + ended.stderr).not.toMatch(/^ +at |node:internal|file:\/\//m);
  return ended;
}

/** In a shell, where $mp is the program. */
function shell(script: string, env: NodeJS.ProcessEnv = {}): Ended {
  const { status, signal, stdout, stderr } = spawnSync('bash', ['-c', script], {
    cwd: folder,
    encoding: 'utf8',
    env: {
      ...process.env,
      ...env,
      mp: `${process.execPath} ${main}`,
      train: `train ${training}`,
    },
    // What hangs is ended, whatever it does with other signals. A busy machine may take minutes for a training.
    timeout: 280_000,
    killSignal: 'SIGKILL',
  });
  expect(signal).toBeNull();
  expect(stdout + stderr).not.toMatch(/^ +at |node:internal|file:\/\//m);
  return { status, stdout, stderr };
}

const hasFull = existsSync('/dev/full');
const isLinux = process.platform === 'linux';

describe('an output that cannot be written', () => {
  it('ends quietly when the reader has had enough', () => {
    for (const words of ['--help', 'inspect m.safetensors', 'data list', 'eval --help']) {
      const { stdout, stderr } = shell(`$mp ${words} | true; echo \${PIPESTATUS[0]}`);
      expect(stderr).toBe('');
      expect(stdout).toBe('0\n');
    }
  });

  it('keeps the status of an error whose object nobody reads', () => {
    expect(shell('$mp inspect nothing --json | true; exit ${PIPESTATUS[0]}').status).toBe(2);
  });

  it.runIf(hasFull)('ends with 1 and says so when the results are lost', () => {
    for (const words of [
      '--help',
      '--version',
      'data list',
      'data list --json',
      'inspect m.safetensors --json',
      'inspect m.safetensors',
      'export m.safetensors --out full.safetensors',
    ]) {
      const { status, stderr } = shell(`$mp ${words} > /dev/full`);
      expect(stderr).toMatch(
        /^mamba-prune: the output could not be written \(ENOSPC.*It is lost\.$/m,
      );
      expect(status).toBe(1);
    }
  });

  it.runIf(hasFull)('changes nothing where only progress and messages are lost', () => {
    expect(shell('$mp $train --out quiet 2> /dev/full').status).toBe(0);
    expect(readdirSync(join(folder, 'quiet'))).toContain('model.safetensors');
    expect(shell('$mp train --lr fast 2> /dev/full').status).toBe(2);
    expect(shell('$mp inspect nothing 2> >(true)').status).toBe(2);
  });

  it('leaves a whole run where stdout, stderr and stdin are closed', () => {
    expect(shell('$mp $train --out closed <&- >&- 2>&-').status).toBe(0);
    expect(readdirSync(join(folder, 'closed'))).toContain('model.safetensors');
  });
});

describe('a place that cannot be written', () => {
  it.runIf(isLinux)('is refused at once where there can be no folder', async () => {
    const long = 'a'.repeat(300);
    for (const [out, reason] of [
      ['/dev/null', 'a file of that name is in the way (EEXIST)'],
      ['/dev/null/run', 'a part of the path is a file (ENOTDIR)'],
      ['file/run', 'a part of the path is a file (ENOTDIR)'],
      [`runs/${long}`, 'the name is too long (ENAMETOOLONG)'],
      ['dangling/run', 'it is a symbolic link to nothing'],
      ['dangling', 'it is a symbolic link to nothing'],
      ['loop/run', 'its symbolic links go round in a circle (ELOOP)'],
    ] as const) {
      const { status, stderr } = await here(`train ${training} --out ${resolve(folder, out)}`);
      expect(stderr).toContain(reason);
      expect(status).toBe(2);
      expect(existsSync(join(folder, 'runs'))).toBe(false);
    }
  });

  it.runIf(isLinux)('is said by every command that writes', async () => {
    const model = join(folder, 'm.safetensors');
    for (const words of [
      `train ${training} --out /proc/nothing/run`,
      `prune ${model} --out /proc/nothing/run`,
      'compare --quick --out /proc/nothing/c',
      'quickstart --out /proc/nothing/q',
      'imp --arch mamba_nano --mamba_structured --dataset fashion-mnist --save_dir /proc/nothing/i --epochs 1',
      `export ${model} --out /proc/nothing/m.safetensors`,
      `export ${model} --out /dev/null/m.onnx --no-verify`,
      `export ${model} --overwrite --out /dev/null`,
      'data get cifar10 --data /proc/nothing/data',
    ]) {
      const { status, stderr } = await here(words);
      expect(stderr).toMatch(/^mamba-prune [\w ]+: .*(\/proc\/nothing|\/dev\/null)/m);
      expect([1, 2]).toContain(status);
    }
  });

  it('is said when files may not grow', () => {
    const { status, stderr } = shell(
      'ulimit -f 1; $mp export m.safetensors --out large.safetensors',
    );
    expect(stderr).toContain('the file would be larger than allowed (EFBIG)');
    expect(status).toBe(1);
    expect(readdirSync(folder).filter((name) => name.includes('large'))).toEqual([]);
  });
});

describe('a process that has little', () => {
  it.runIf(isLinux)('is told how many files it may open, and how many it has to', () => {
    for (const words of ['--help', 'inspect m.safetensors', '$train --out few']) {
      const { status, stdout, stderr } = shell(`ulimit -n 40; $mp ${words}`);
      expect(stderr).toBe(
        `mamba-prune: this process may have 40 files open (ulimit -n), expected at least ${fewestOpenFiles}. Raise the limit.\n`,
      );
      expect(stdout).toBe('');
      expect(status).toBe(1);
    }
  });

  it.runIf(isLinux)('works with as few files as it asks for', () => {
    const { status, stderr } = shell(
      `ulimit -n ${fewestOpenFiles}; $mp $train --data-threads 2 --out fewest`,
    );
    expect(stderr).toContain('1/1');
    expect(status).toBe(0);
  });

  it('works without HOME, with a missing TMPDIR, and with a cache that cannot be made', () => {
    const words = '$mp $train --out';
    const home = {
      OTHER_HOME: join(folder, 'home'),
      NODE_OPTIONS: `--import ${join(support, 'other-home.mjs')}`,
    };
    expect(shell(`env -u HOME -u XDG_CACHE_HOME ${words} homeless`, home).status).toBe(0);
    expect(readdirSync(join(folder, 'home', '.cache', 'mamba-prune'))).not.toEqual([]);
    expect(shell(`${words} tmpless`, { TMPDIR: join(folder, 'missing') }).status).toBe(0);
    expect(shell(`${words} cacheless`, { XDG_CACHE_HOME: '/proc/nothing' }).status).toBe(0);
  });

  it('says that its folder was deleted, and helps there all the same', () => {
    const inside = 'mkdir -p gone; cd gone; rmdir ../gone;';
    const { status, stderr } = shell(`${inside} $mp inspect ${join(folder, 'm.safetensors')}`);
    expect(stderr).toMatch(/^mamba-prune inspect: the current folder does not exist any more\./);
    expect(status).toBe(1);
    expect(shell(`${inside} $mp --help`).status).toBe(0);
  });
});
