// Which class of the library an error comes from says nothing to who types a command.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunFolder } from '../training/run-folder.js';
import { withoutClassName } from './class-names.js';
import { runCli } from './testing/run-cli.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-class-names-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const train = (out: string, ...more: readonly string[]) =>
  runCli(['train', '--dataset', 'fashion-mnist', '--out', out, ...more]);

describe('the message of an error', () => {
  it('begins with what is wrong about a folder that is in use', async () => {
    const out = join(folder, 'run');
    RunFolder.create(out, { command: 'train', args: [], seed: 0 }).release();
    expect((await train(out)).stderr).toContain(`mamba-prune train: ${out} holds a run already`);
    const notes = join(folder, 'notes');
    mkdirSync(notes);
    writeFileSync(join(notes, 'a.txt'), '');
    expect((await train(notes)).stderr).toContain(`mamba-prune train: ${notes} is not empty`);
    expect((await train(join(notes, 'a.txt', 'run'))).stderr).toContain(
      'mamba-prune train: cannot write',
    );
  });

  it('begins with the flag whose value is wrong', async () => {
    const { stderr } = await train(join(folder, 'new'), '--epochs', '2', '--warmup-epochs', '9');
    expect(stderr).toMatch(/^mamba-prune train: --warmup-epochs: got 9/m);
  });

  it.each([
    ['DeviceSplit: got an empty split.', 'got an empty split.'],
    ['RunFolder.open: got 3.', 'got 3.'],
    ['the run a failed: BatchLoader: a thread failed.', 'the run a failed: a thread failed.'],
    ['writeFileAtomic: cannot write "a": the disk is full.', 'cannot write "a": the disk is full.'],
    ['runs/a: in use by process 3.', 'runs/a: in use by process 3.'],
    ['prune: got rates of MyNet: none.', 'prune: got rates of MyNet: none.'],
    ['Resume: it stopped.', 'Resume: it stopped.'],
  ])('%s', (message, shown) => {
    expect(withoutClassName(message)).toBe(shown);
  });
});
