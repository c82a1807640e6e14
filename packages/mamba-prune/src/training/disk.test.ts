/** What happens when the disk is full or the folder cannot be written. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RunFolder, RunFolderError, type TrainControl, type TrainHooks } from './index.js';
import { train } from './trainer.js';
import {
  outcomeOf,
  temporaryFolder,
  toyDataset,
  ToyModel,
  toyOptions,
  toyRun,
} from './testing/toy.js';

/** Bytes that may still be written before the disk is full. */
const disk = vi.hoisted(() => ({ left: Infinity }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const writeSync = (fd: number, bytes: Uint8Array, ...rest: number[]): number => {
    const [offset = 0, length = bytes.length - offset] = rest;
    if (length <= disk.left) {
      disk.left -= length;
      return fs.writeSync(fd, bytes, offset, length);
    }
    const fits = disk.left;
    disk.left = 0;
    // As the system does it: a short write first, then the error.
    if (fits > 0) return fs.writeSync(fd, bytes, offset, fits);
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  };
  return { ...fs, writeSync, default: fs };
});

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => {
  disk.left = Infinity;
  folder.remove();
});

const path = (name = 'run') => join(folder.path, name);

async function go(name: string, hooks: TrainHooks = {}, control: TrainControl = { resume: true }) {
  const run = RunFolder.open(path(name), { write: true });
  try {
    return await train(new ToyModel(), toyDataset(), toyOptions, run, hooks, control);
  } finally {
    run.release();
  }
}

describe('a full disk', () => {
  it('is said to be full, and leaves the checkpoint before', async () => {
    RunFolder.create(path('whole'), toyRun).release();
    await go('whole');
    // At several sizes: within the model file, the metrics or the checkpoint of a later moment.
    for (const bytes of [0, 10, 5_000, 30_000]) {
      const name = `run${bytes}`;
      const run = RunFolder.create(path(name), toyRun);
      run.release();
      const failed = go(name, {
        onStep: ({ epoch, step }) => {
          if (epoch === 2 && step === 1) disk.left = bytes;
        },
      });
      const error = await failed.catch((thrown: unknown) => thrown);
      disk.left = Infinity;
      expect(error).toBeInstanceOf(RunFolderError);
      expect((error as Error).message).toMatch(/cannot write .*(disk is full|ENOSPC)/);
      await go(name);
      expect(outcomeOf(run)).toEqual(outcomeOf(RunFolder.open(path('whole'))));
    }
  });

  it('shows before any work is done', async () => {
    RunFolder.create(path(), toyRun).release();
    disk.left = 100;
    let steps = 0;
    await expect(go('run', { onStep: () => (steps += 1) })).rejects.toThrow(
      /disk is full \(ENOSPC\).*There is no checkpoint yet/s,
    );
    expect(steps).toBe(0);
  });
});

describe('a folder that cannot be written', () => {
  it('is named when the run is made', () => {
    writeFileSync(path('file'), 'x');
    expect(() => RunFolder.create(path('file'), toyRun)).toThrow(/cannot write .*file.*EEXIST/);
    expect(() => RunFolder.create(path('file/run'), toyRun)).toThrow(/cannot write .*ENOTDIR/);
  });

  it('is named when it vanishes while a run is trained', async () => {
    const run = RunFolder.create(path(), toyRun);
    run.release();
    const failed = go('run', {
      onStep: ({ epoch }) => {
        if (epoch === 2) rmSync(join(run.path, 'checkpoints'), { recursive: true, force: true });
      },
    });
    await expect(failed).rejects.toThrow(/cannot write .*checkpoints.*ENOENT/s);
  });
});

describe('RunFolder.create', () => {
  it('describes the run, its versions and its machine', () => {
    const run = RunFolder.create(path(), { ...toyRun, model: { arch: 'toy' } });
    const config = JSON.parse(readFileSync(run.configPath, 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      kind: 'mamba-prune run',
      command: 'train',
      args: ['train', 'toy'],
      seed: 3,
      model: { arch: 'toy' },
      versions: { node: process.versions.node, libtorch: expect.stringMatching(/^\d/) as string },
      resumed: [],
    });
    run.release();
    expect(RunFolder.open(path()).config).toEqual(config);
  });

  it('refuses a folder that is in use for something else, whatever is asked', () => {
    mkdirSync(path());
    writeFileSync(join(path(), 'notes.txt'), 'precious');
    for (const overwrite of [false, true]) {
      expect(() => RunFolder.create(path(), toyRun, { overwrite })).toThrow(
        /is not empty \(notes\.txt\) and is no run/,
      );
    }
    expect(readFileSync(join(path(), 'notes.txt'), 'utf8')).toBe('precious');
  });

  it('refuses a run that is there, unless told to overwrite it', () => {
    const first = RunFolder.create(path(), toyRun);
    writeFileSync(first.metricsPath, '{}\n');
    writeFileSync(join(first.path, 'pruning.json'), '{}');
    writeFileSync(join(first.path, 'notes.txt'), 'precious');
    first.release();
    expect(() => RunFolder.create(path(), toyRun)).toThrow(/holds a run already.*`resume`/);
    const second = RunFolder.create(path(), toyRun, { overwrite: true });
    expect(second.readMetrics()).toEqual([]);
    second.release();
    expect(readdirSync(second.path).sort()).toEqual(['checkpoints', 'config.json', 'notes.txt']);
  });

  it('begins where a process was killed while it made the run', () => {
    mkdirSync(join(path(), 'checkpoints'), { recursive: true });
    writeFileSync(join(path(), 'run.lock'), '{"pid":1,"ho');
    writeFileSync(join(path(), '.config.json.0123-1-ab.tmp'), '{');
    const run = RunFolder.create(path(), toyRun);
    expect(run.isWritten).toBe(true);
    run.release();
    const visible = readdirSync(path()).filter((name) => !name.startsWith('.'));
    expect(visible.sort()).toEqual(['checkpoints', 'config.json']);
    expect(RunFolder.open(path()).config).toMatchObject(toyRun);
  });
});

describe('RunFolder.open', () => {
  it('says what is not a run, and what of a run is damaged', () => {
    expect(() => RunFolder.open(path('nowhere'))).toThrow(/nowhere does not exist, expected a run/);
    RunFolder.create(path(), toyRun).release();
    const config = join(path(), 'config.json');
    writeFileSync(config, '{"kind": "mamba-prune run", "format": 2}');
    expect(() => RunFolder.open(path())).toThrow(/does not describe a run/);
    writeFileSync(config, '{');
    expect(() => RunFolder.open(path())).toThrow(/config\.json cannot be read/);
  });

  it('to read does not lock, and cannot write', () => {
    const writer = RunFolder.create(path(), toyRun);
    const reader = RunFolder.open(path());
    expect(reader.writable).toBe(false);
    expect(() => {
      reader.update({ seed: 4 });
    }).toThrow(/open for reading/);
    expect(() => RunFolder.open(path(), { write: true })).toThrow(/in use by this process itself/);
    writer.release();
  });

  it('takes over the lock of a process that is gone, not of another machine', () => {
    RunFolder.create(path(), toyRun).release();
    const lock = join(path(), 'run.lock');
    const holder = { pid: 2 ** 22 + 1, host: 'elsewhere', started: '1', since: 'then' };
    writeFileSync(lock, JSON.stringify(holder));
    expect(() => RunFolder.open(path(), { write: true })).toThrow(
      /in use by process 4194305 on the machine elsewhere.*delete .*run\.lock/,
    );
    rmSync(lock);
    const run = RunFolder.open(path(), { write: true });
    const own = JSON.parse(readFileSync(lock, 'utf8')) as typeof holder;
    run.release();
    // This process' id with another start: a process that had the id before.
    writeFileSync(lock, JSON.stringify({ ...own, started: '1' }));
    RunFolder.open(path(), { write: true }).release();
    // Above the largest id that Linux gives.
    writeFileSync(lock, JSON.stringify({ ...own, pid: holder.pid }));
    RunFolder.open(path(), { write: true }).release();
  });
});
