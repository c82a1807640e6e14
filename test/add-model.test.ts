// The script that puts the model of a run into a collection of trained models, from end to end: a small dense training, its
// pruning, and the commands that then take both by name.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadModel } from 'mamba-prune';
import { boxedModels } from 'mamba-prune/models';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../packages/mamba-prune/src/cli/testing/run-cli.js';

const script = fileURLToPath(new URL('../packages/models/scripts/add-model.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'add-model-test-'));
const at = (...names: string[]): string => join(folder, ...names);
/** Of a data set that needs no folder. */
const dense = 'fashion-mnist/mamba_nano';
const pruned = `${dense}-70`;

beforeAll(async () => {
  const few = ['--train-images', '64', '--test-images', '20', '--threads', '1'];
  const train = [
    'train',
    '--arch',
    'mamba_nano',
    '--d-model',
    '16',
    '--depth',
    '2',
    '--d-state',
    '4',
  ];
  const trained = await runCli([
    ...train,
    '--dataset',
    'fashion-mnist',
    '--epochs',
    '1',
    ...few,
    '--out',
    at('dense'),
  ]);
  expect(trained.status, trained.stderr).toBe(0);
  const prune = ['prune', at('dense'), '--rate', '0.7', '--importance', 'l1', ...few];
  const cut = await runCli([...prune, '--out', at('pruned')]);
  expect(cut.status, cut.stderr).toBe(0);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function add(...argv: readonly string[]): { status: number | null; output: string } {
  const more = ['--images', '100', '--threads', '1', '--into', at('box')];
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...argv, ...more], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

describe('add-model.mjs', () => {
  it('makes models that the program takes by name, with cards that say what they are', async () => {
    for (const argv of [
      [at('dense'), dense],
      [
        at('pruned'),
        pruned,
        '--dense',
        at('dense'),
        '--dtype',
        'bfloat16',
        '--note',
        'For a test.',
      ],
    ]) {
      const { status, output } = add(...argv);
      expect(status, output).toBe(0);
    }
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('box'));
    expect(boxedModels()).toMatchObject([
      { name: dense, pruning: null, channels: 1, imageSize: 28, classes: 10 },
      {
        name: pruned,
        pruning: { method: 'oneshot', rates: { ssm: 0.7, mlp: 0.7 } },
        dtype: 'bfloat16',
      },
    ]);
    const { model } = loadModel(`models:${pruned}`);
    const original = loadModel(at('pruned', 'model.safetensors'));
    for (const [name, tensor] of model.stateDict()) {
      const given = original.model.stateDict().get(name);
      const isMatrix = name.endsWith('.weight') && tensor.shape.length > 1;
      const expected = isMatrix ? given?.to('bfloat16').to('float32') : given;
      expect(tensor.toNumbers(), name).toEqual(expected?.toNumbers());
    }
    model.dispose();
    original.model.dispose();
    const text = readFileSync(at('box', 'files', `${pruned}.json`), 'utf8');
    // Of 100 images and of the rounded weights; the run measured its own on 20.
    const boxed = loadModel(`models:${dense}`);
    expect(boxed.info.history.at(-1)?.['accuracy']).toBe(boxedModels()[0]?.accuracy);
    boxed.model.dispose();
    expect(text).not.toContain(folder);
    expect(JSON.parse(text)).toMatchObject({
      notes: expect.arrayContaining(['For a test.']) as string[],
      images: 100,
      subset: { images: 300 },
      pruning: { method: 'oneshot', before: { images: 20 } },
      training: {
        commands: [
          expect.stringMatching(/^mamba-prune train .* --out runs\/dense$/) as string,
          expect.stringMatching(/^mamba-prune prune .* --out runs\/pruned$/) as string,
        ],
      },
      licence: { weights: 'MIT', data: { licence: 'MIT' } },
    });
    const page = readFileSync(at('box', 'files', `${pruned}.md`), 'utf8');
    expect(page).toContain('The same weights as they came out of the run, and rounded to 16 bits');
    expect(page).toContain('> For a test.');
    expect(page).toContain('70% of the ssm units, 70% of the mlp units, by oneshot in 1 round');
    const imp = ['imp', '--arch', 'mamba_nano', '--dataset', 'fashion-mnist', '--mamba_structured'];
    const plan = await runCli([...imp, '--mamba_pretrained', '--exp_name', 'x', '--print_plan']);
    expect(JSON.parse(plan.stdout)).toMatchObject({
      prune: {
        model: expect.stringContaining(join('box', 'files', `${dense}.safetensors`)) as string,
      },
    });
    const evaluated = await runCli(['eval', `models:${pruned}`, '--images', '300', '--json']);
    const { accuracy } = JSON.parse(evaluated.stdout) as { accuracy: number };
    const { subset } = JSON.parse(text) as { subset: { right: number } };
    // This process has another number of threads: see trained-models.test.ts.
    expect(Math.abs(accuracy * 300 - subset.right)).toBeLessThanOrEqual(3);
  });

  it.each([
    [['cifar10/mamba_nano'], 'expected fashion-mnist/mamba_nano, or fashion-mnist/mamba_nano-NN'],
    [[dense, '--dtype', 'int8'], "--dtype: got 'int8', expected one of float16, bfloat16"],
    [[], 'expected RUN NAME'],
  ])('refuses %j', (argv, message) => {
    const { status, output } = add(at('dense'), ...argv);
    expect(status).toBe(2);
    expect(output).toContain(message);
  });
});
