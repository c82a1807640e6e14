import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randn, saveSafetensors } from '@mamba-prune/libtorch';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createModel } from '../models/registry.js';
import { RunFolder } from '../training/run-folder.js';
import { openModelFile } from '../workflows/open-model-file.js';
import type { TeacherFacts } from '../workflows/opened-teacher.js';
import { side, writeTinyImages } from '../workflows/testing/tiny.js';
import { writeStateDict } from './testing/model-files.js';
import { runCli } from './testing/run-cli.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const small = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--d-state', '2'];
const data = (): string[] => [
  '--dataset',
  'folder',
  '--data',
  at('images'),
  '--image-size',
  String(side),
  '--epochs',
  '1',
  '--batch-size',
  '16',
];

const dense = (): string => at('dense', 'model.safetensors');
const settingsOf = (name: string): unknown => RunFolder.open(at(name)).config['settings'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-train-teacher-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const trained = await runCli(['train', ...small, ...data(), '--out', at('dense')]);
  expect(trained.status, trained.stderr).toBe(0);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('train --teacher', () => {
  it('takes a run, says who teaches, and goes on without being told again', async () => {
    const flags = ['--teacher', at('dense'), '--distill', '1', '--temperature', '2'];
    const argv = ['train', ...small, ...data(), ...flags, '--out', at('taught')];
    const { status, stderr } = await runCli(argv);
    expect(status, stderr).toBe(0);
    expect(stderr.replace(/\s+/g, ' ')).toContain(
      'model.safetensors, with a weight of 1 in the loss and a temperature of 2',
    );
    const again = await runCli([
      'train',
      '--resume',
      '--epochs',
      '2',
      '--out',
      at('taught'),
      '--json',
    ]);
    expect(again.status, again.stderr).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({
      settings: {
        distill: { teacher: at('dense', 'model.safetensors'), weight: 1, temperature: 2 },
      },
      epochs: 2,
    });
  });

  it('takes the teacher from where it lies now when a run goes on', async () => {
    copyFileSync(at('dense', 'model.safetensors'), at('first.safetensors'));
    const argv = [
      'train',
      ...small,
      ...data(),
      '--teacher',
      at('first.safetensors'),
      '--out',
      at('moved'),
    ];
    expect((await runCli(argv)).status).toBe(0);
    rmSync(at('first.safetensors'));
    const on = ['train', '--resume', '--epochs', '2', '--out', at('moved')];
    const lost = await runCli(on);
    expect(lost.status).toBe(2);
    expect(lost.stderr).toContain('say where it lies now (--teacher)');
    const found = await runCli([...on, '--teacher', at('dense')]);
    expect(found.status, found.stderr).toBe(0);
    // It is told once.
    expect(settingsOf('moved')).toMatchObject({ distill: { teacher: dense() } });
    const again = await runCli(['train', '--resume', '--epochs', '3', '--out', at('moved')]);
    expect(again.status, again.stderr).toBe(0);
  });

  it('takes images from where they lie now when a run goes on, and tells where that is', async () => {
    expect((await runCli(['train', ...small, ...data(), '--out', at('shown')])).status).toBe(0);
    cpSync(at('images'), at('other-images'), { recursive: true });
    const on = ['train', '--resume', '--epochs', '2', '--data', at('other-images')];
    const moved = await runCli([...on, '--out', at('shown')]);
    expect(moved.status, moved.stderr).toBe(0);
    expect(settingsOf('shown')).toMatchObject({ data: at('other-images'), recipe: { epochs: 2 } });
    expect(RunFolder.open(at('shown')).config.dataset).toMatchObject({ dir: at('other-images') });
  });

  it('keeps what a run says of itself where it does not go on', async () => {
    const argv = ['train', ...small, ...data(), '--teacher', at('dense'), '--out', at('kept')];
    expect((await runCli(argv)).status).toBe(0);
    const before = settingsOf('kept');
    copyFileSync(dense(), at('copy.safetensors'));
    const on = ['train', '--resume', '--epochs', '2', '--teacher', at('copy.safetensors')];
    const { status, stderr } = await runCli([...on, '--lr', '5', '--out', at('kept')]);
    expect(status).toBe(2);
    expect(stderr).toContain('--lr: got 5');
    expect(settingsOf('kept')).toEqual(before);
  });

  it('has the facts of its teacher in its JSON', async () => {
    const argv = ['train', ...small, ...data(), '--json'];
    const flags = ['--teacher', at('dense'), '--distill', '0.7', '--temperature', '2'];
    const taught = await runCli([...argv, ...flags, '--out', at('json')]);
    expect((JSON.parse(taught.stdout) as { teacher: unknown }).teacher).toEqual({
      model: dense(),
      weight: 0.7,
      temperature: 2,
      assumed: [],
      notes: [],
    });
    const resnet = createModel('resnet20', { numClasses: 2, imageSize: 32 });
    writeStateDict(at('facts.pth'), resnet);
    resnet.dispose();
    const other = await runCli([...argv, '--teacher', at('facts.pth'), '--out', at('json-other')]);
    const { teacher } = JSON.parse(other.stdout) as { teacher: TeacherFacts };
    expect(teacher).toMatchObject({ model: at('facts.pth'), weight: 0.5, temperature: 1 });
    expect(teacher.notes.join(' ')).toContain('Taken as usual');
    expect(teacher.assumed.join(' ')).toContain('mean 0.485');
    expect(teacher.assumed.join(' ')).not.toContain('imageSize');
    const alone = await runCli([...argv, '--out', at('json-alone')]);
    expect(JSON.parse(alone.stdout)).toMatchObject({ teacher: null });
  });

  it('has the same names in its JSON as a pruning', async () => {
    const argv = ['prune', at('dense'), '--rate', '0.5', '--epochs', '1', '--json'];
    const taught = await runCli([...argv, '--distill', '0.7', '--out', at('pruned-taught')]);
    expect((JSON.parse(taught.stdout) as { teacher: unknown }).teacher).toEqual({
      model: dense(),
      weight: 0.7,
      temperature: 1,
      assumed: [],
      notes: [],
    });
    const alone = await runCli([...argv, '--out', at('pruned-alone')]);
    expect(JSON.parse(alone.stdout)).toMatchObject({ teacher: null });
  });

  it.each([
    ['of ours', dense],
    ['of another program, for images of another size', () => at('resnet.safetensors')],
  ])('reads the file of a teacher %s once', async (_, file) => {
    const resnet = createModel('resnet20', { numClasses: 2, imageSize: 32 });
    saveSafetensors(at('resnet.safetensors'), resnet.stateDict(), {});
    resnet.dispose();
    const read = vi.spyOn(SafetensorsFile, 'open');
    try {
      const reads = (): number => read.mock.calls.filter(([path]) => path === file()).length;
      (await openModelFile(file())).model.dispose();
      const once = reads();
      expect(once).toBeGreaterThan(0);
      const argv = ['train', ...small, ...data(), '--teacher', file(), '--overwrite'];
      const { status, stderr } = await runCli([...argv, '--out', at('once')]);
      expect(status, stderr).toBe(0);
      expect(reads()).toBe(2 * once);
    } finally {
      read.mockRestore();
    }
  });

  it.each([
    [['--distill', '0.5'], 'got --distill, which belongs to --teacher'],
    [['--temperature', '2'], 'got --temperature, which belongs to --teacher'],
    [['--teacher', 'nowhere'], 'nowhere does not exist, expected a file of weights'],
  ])('refuses %o', async (flags, message) => {
    const { status, stderr } = await runCli([
      'train',
      ...small,
      ...data(),
      ...flags,
      '--out',
      at('refused'),
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it('refuses a teacher for a run that began without one', async () => {
    const argv = [
      'train',
      '--resume',
      '--epochs',
      '2',
      '--teacher',
      at('taught'),
      '--out',
      at('dense'),
    ];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stderr).toContain('got --teacher, but the run began without a teacher');
  });

  it('refuses another weight and more epochs than are left by the names of the flags', async () => {
    const argv = ['train', ...small, ...data(), '--teacher', at('dense'), '--out', at('begun')];
    expect((await runCli(argv)).status).toBe(0);
    const on = ['train', '--resume', '--epochs', '2', '--out', at('begun')];
    const { status, stderr } = await runCli([...on, '--distill', '0.7']);
    expect(status).toBe(2);
    expect(stderr).toContain('--distill: got 0.7, expected 0.5');
    const batch = await runCli([...on, '--batch-size', '8']);
    expect(batch.status).toBe(2);
    expect(batch.stderr).toContain('--batch-size: got 8, expected 16');
  });

  it.each(['--teacher', '--widths-from'])(
    'never deletes the model of %s for the run that needs it',
    async (flag) => {
      cpSync(at('dense'), at('needed'), { recursive: true });
      const before = readFileSync(at('needed', 'model.safetensors'));
      const argv = ['train', ...data(), flag, at('needed'), '--overwrite', '--out', at('needed')];
      const { status, stderr } = await runCli(argv);
      expect(status).toBe(2);
      expect(stderr).toContain('which the new run needs and --overwrite would delete');
      expect(readFileSync(at('needed', 'model.safetensors')).equals(before)).toBe(true);
    },
  );

  it('shows a teacher of another program images of the size of the data where no shape tells one', async () => {
    const resnet = createModel('resnet20', { numClasses: 2, imageSize: 32 });
    writeStateDict(at('resnet.pth'), resnet);
    resnet.dispose();
    const argv = [
      'train',
      ...small,
      ...data(),
      '--teacher',
      at('resnet.pth'),
      '--out',
      at('sized'),
    ];
    const { status, stderr } = await runCli(argv);
    expect(status, stderr).toBe(0);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('resnet.pth: Taken as usual');
    expect(stderr.split('Taken as usual')).toHaveLength(2);
  });

  it.each(['--teacher', '--from'])(
    'calls the file of %s by its path from here, as all commands do',
    async (flag) => {
      const resnet = createModel('resnet20', { numClasses: 2, imageSize: 32 });
      writeStateDict(at('near.pth'), resnet);
      resnet.dispose();
      const cwd = vi.spyOn(process, 'cwd').mockReturnValue(folder);
      try {
        const own = flag === '--from' ? [] : small;
        const argv = ['train', ...own, ...data(), flag, at('near.pth'), '--out', at(`near${flag}`)];
        const { status, stderr } = await runCli(argv);
        expect(status, stderr).toBe(0);
        expect(stderr).toMatch(/^ {2}near\.pth: Taken as usual/m);
        expect(stderr).not.toContain(at('near.pth'));
      } finally {
        cwd.mockRestore();
      }
    },
  );

  it.each(['--teacher', '--widths-from'])(
    'says where more is said of a file with two classifiers than %s takes',
    async (flag) => {
      const sizes = { depth: 1, imageSize: side, patchSize: 4, numClasses: 2 };
      const vit = createModel('vit_tiny', sizes);
      const backbone = [...vit.stateDict()].filter(([name]) => !name.startsWith('head.'));
      const tensors = new Map(backbone.map(([name, value]) => [`backbone.${name}`, value]));
      for (const name of ['fc_a', 'fc_b']) {
        tensors.set(`${name}.weight`, randn([2, 192]));
        tensors.set(`${name}.bias`, randn([2]));
      }
      saveSafetensors(at('two.safetensors'), tensors, {});
      vit.dispose();
      const argv = ['train', ...data(), flag, at('two.safetensors'), '--out', at('two')];
      const { status, stderr } = await runCli(argv);
      expect(status).toBe(2);
      const written = `--out described.safetensors', which writes the model with all that is said of it, and give ${flag}`;
      expect(stderr).toContain(written);
      const one = at(`one${flag}.safetensors`);
      const told = ['--classifier', 'fc_a', '--heads', '3'];
      const exported = await runCli(['export', at('two.safetensors'), ...told, '--out', one]);
      expect(exported.status, exported.stderr).toBe(0);
      const taken = await runCli(['train', ...data(), flag, one, '--out', at(`two${flag}`)]);
      expect(taken.status, taken.stderr).toBe(0);
    },
  );
});
