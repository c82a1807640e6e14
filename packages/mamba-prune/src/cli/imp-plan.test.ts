import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PlannedImp } from './imp-plan.js';
import { runCli } from './testing/run-cli.js';

/** Through the real command, with what every call needs. */
async function planned(...flags: string[]): Promise<PlannedImp> {
  const argv = ['imp', '--exp_name', 'x', ...flags, '--print_plan'];
  const { status, stdout, stderr } = await runCli(argv);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as PlannedImp;
}

const mamba = ['--arch', 'mamba_tiny', '--mamba_structured'];
const vit = ['--arch', 'vit_tiny', '--vit_structured'];

describe('imp', () => {
  it('has the defaults of the script', async () => {
    const { dense, prune, out } = await planned();
    expect(out).toBe(join('runs', 'x'));
    expect(dense).toMatchObject({ arch: 'resnet20', dataset: 'cifar100', data: 'data' });
    const recipe = {
      epochs: 120,
      batchSize: 128,
      optimizer: 'sgd',
      lr: 0.01,
      momentum: 0.9,
      weightDecay: 1e-4,
      schedule: 'multistep',
      milestones: [91, 136],
      gamma: 0.1,
      warmupEpochs: 20,
    };
    expect(dense?.recipe).toMatchObject(recipe);
    expect(prune).toMatchObject({
      recipe,
      method: 'refill',
      refill: { fillback: 0 },
      rates: { channels: 0.2 },
      rounds: 20,
      rewind: 'none',
      // Images are always there, so that the default is the one that looks at them.
      importance: 'obd',
      importanceReason: 'family',
      ranking: 'global',
      model: resolve('runs', 'x', 'dense', 'model.safetensors'),
    });
  });

  it('has the sizes of Vim and VMamba', async () => {
    const vim = ['--arch', 'vim_tiny', '--mamba_structured', '--patch', '16', '--stride', '8'];
    expect((await planned(...vim)).dense?.model).toEqual({ patchSize: 16, stride: 8 });
    expect((await planned(...vim, '--pretrained', 'package.json')).model).toMatchObject({
      stride: 8,
    });
    const vmamba = ['--arch', 'vmamba_nano', '--mamba_structured', '--stem_stride', '4'];
    const widths = ['--base_width', '8', '--blocks', '1,1'];
    expect((await planned(...vmamba, ...widths)).dense?.model).toEqual({
      stemStride: 4,
      baseWidth: 8,
      blocks: [1, 1],
    });
  });

  it('cuts random crops out of resized copies in all its trainings where it is asked to', async () => {
    const { dense, prune } = await planned('--dataset', 'folder', '--cached_size', '64');
    expect([dense?.cachedSize, prune.cachedSize]).toEqual([64, 64]);
    expect((await planned()).prune).not.toHaveProperty('cachedSize');
  });

  it('compensates cuts where it is asked to', async () => {
    expect((await planned()).prune).not.toHaveProperty('compensate');
    const { prune } = await planned('--compensate', 'fold', '--compensate_images', '64');
    expect(prune.compensate).toEqual({ target: 'fold', images: 64 });
  });

  it('trains as the flags say, before the cuts and after them', async () => {
    const { dense, prune } = await planned(
      ...mamba,
      '--epochs',
      '5',
      '--batch_size',
      '32',
      '--lr',
      '0.5',
      '--momentum',
      '0.8',
      '--weight_decay',
      '0.001',
      '--warmup',
      '2',
      '--decreasing_lr',
      '3,4',
      '--seed',
      '7',
      '--print_freq',
      '50',
      '--train_images',
      '100',
      '--augment',
      'none',
    );
    const recipe = {
      epochs: 5,
      batchSize: 32,
      optimizer: 'sgd',
      lr: 0.5,
      momentum: 0.8,
      weightDecay: 0.001,
      schedule: 'multistep',
      milestones: [3, 4],
      gamma: 0.1,
      warmupEpochs: 2,
      augment: 'none',
      seed: 7,
      maxTrainImages: 100,
      logEverySteps: 50,
    };
    expect(dense?.recipe).toEqual(recipe);
    expect(prune.recipe).toEqual(recipe);
  });

  it.each([
    [['--rate', '0.5'], { ssm: 0.5, mlp: 0.7 }],
    [['--rate', '0.5', '--mamba_prune_target', 'ssm'], { ssm: 0.5 }],
    [['--mamba_prune_target', 'mlp', '--mamba_mlp_prune_ratio', '0.4'], { mlp: 0.4 }],
  ])('%j of a Mamba are %j', async (flags, rates) => {
    expect((await planned(...mamba, ...flags)).prune.rates).toEqual(rates);
  });

  it.each([
    [['--rate', '0.5'], { heads: 0.5 }],
    [['--rate', '0.5', '--vit_prune_target', 'both'], { heads: 0.5, mlp: 0.5 }],
    [['--vit_prune_target', 'mlp', '--mlp_prune_ratio', '0.4'], { mlp: 0.4 }],
  ])('%j of a ViT are %j', async (flags, rates) => {
    const { prune } = await planned(...vit, ...flags);
    expect(prune.rates).toEqual(rates);
    expect(prune.ranking).toBe('layer');
  });

  it.each([
    [['--struct', 'rsst'], 'rsst'],
    [['--RST_schedule', 'x^2'], 'rsst'],
    [['--reg_granularity_prune', '0.5'], 'rsst'],
    [['--exponents', '3'], 'rsst'],
    [['--fillback_rate', '0.3'], 'refill'],
    [['--struct', 'refill'], 'refill'],
  ])('%j mean the method %s', async (flags, method) => {
    expect((await planned(...mamba, ...flags)).prune.method).toBe(method);
  });

  it('gives rsst its schedule, strength and exponent', async () => {
    const flags = ['--RST_schedule', 'exp', '--reg_granularity_prune', '0.5', '--exponents', '3'];
    const { prune } = await planned(...mamba, ...flags, '--epochs', '30');
    expect(prune.rsst).toEqual({
      schedule: 'exp',
      strength: 0.5,
      exponent: 3,
      norm: 'l1',
      units: 'all',
      epochs: 30,
    });
    expect(prune.refill).toBeUndefined();
  });

  it.each([
    [['--prune_type', 'lt'], 'init', undefined],
    [['--prune_type', 'pt'], 'source', undefined],
    [['--prune_type', 'rewind_lt'], 'epoch:24', [24]],
    [['--prune_type', 'rewind_lt', '--rewind_epoch', '3'], 'epoch:3', [3]],
    [['--prune_type', 'rewind_lt', '--rewind_epoch', '0'], 'init', undefined],
  ])('%j rewind to %s', async (flags, rewind, keepEpochs) => {
    const { prune, dense } = await planned(...mamba, ...flags);
    expect(prune.rewind).toBe(rewind);
    expect(dense?.keepEpochs).toEqual(keepEpochs);
  });

  it('prunes a model that is there without training one', async () => {
    const { dense, prune } = await planned(...mamba, '--pretrained', 'package.json');
    expect(dense).toBeUndefined();
    expect(prune.model).toBe(resolve('package.json'));
  });

  it('puts runs where --save_dir says', async () => {
    expect((await planned('--save_dir', 'results')).out).toBe(join('results', 'x'));
    const argv = ['imp', '--save_dir', 'results', '--print_plan'];
    expect(JSON.parse((await runCli(argv)).stdout)).toMatchObject({ out: 'results' });
  });

  it('says that a warm-up longer than the training is cut', async () => {
    const { notes, prune } = await planned(...mamba, '--epochs', '3');
    expect(notes).toEqual(['The warm-up of 20 epochs is cut to the 3 that there are.']);
    expect(prune.recipe.warmupEpochs).toBe(3);
  });
});

describe('imp with a budget', () => {
  it('cuts to it in place of the rate', async () => {
    const { prune } = await planned(...mamba, '--target_macs', '0.3x', '--target_latency', '2ms@4');
    expect(prune).toMatchObject({
      rates: { ssm: 0, mlp: 0 },
      costBudget: { macs: '0.3x', latency: { ms: 2, batch: 4 } },
    });
    const argv = ['imp', '--exp_name', 'x', ...mamba, '--target_file', '5MB', '--rate', '0.5'];
    const { status, stderr } = await runCli([...argv, '--print_plan']);
    expect(status).toBe(2);
    expect(stderr).toContain('got --rate with a budget (--target_macs and its like)');
  });
});

describe('imp with groups of their own', () => {
  it('leaves those whole that are excluded, and gives others a rate, by names of a model still to be trained', async () => {
    const { prune } = await planned(
      ...mamba,
      ...'--depth 2 --exclude *.0.mlp --rate_of *.1.ssm=0.5'.split(' '),
      ...'--min_width 10% --rank_by score-per-cost'.split(' '),
    );
    expect(prune).toMatchObject({
      rateOf: { 'blocks.0.mlp': 0, 'blocks.1.ssm': 0.5 },
      minWidth: '10%',
      rankBy: 'score-per-cost',
    });
  });

  it('refuses a pattern that names none, by its own flags', async () => {
    const argv = ['imp', '--exp_name', 'x', ...mamba, '--depth', '2', '--print_plan'];
    const { status, stderr } = await runCli([...argv, '--rate_of', 'layers.*=0.5']);
    expect(status).toBe(2);
    expect(stderr).toContain("--rate_of: got 'layers.*', which is the name of no group.");
  });
});

describe('imp refuses', () => {
  it.each([
    [
      ['--arch', 'mamba_small'],
      'without --mamba_structured: the script would set single weights to zero',
    ],
    [['--arch', 'vit_tiny'], 'Add --vit_structured to remove whole heads and neurons'],
    [[...mamba, '--vit_structured'], 'got --vit_structured, which is for vit models'],
    [['--mamba_prune_target', 'ssm'], 'which is for mamba models, but res20s is a resnet'],
    [
      [...mamba, '--conv1'],
      '--conv1 is not offered: the first convolution makes the residual stream',
    ],
    [[...mamba, '--fc'], '--fc is not offered: rewinding takes all weights back'],
    [[...mamba, '--block_loss_grad', 'True'], '--reg-units doomed'],
    [
      ['--arch', 'vit_base', '--vit_structured', '--vit_pretrained'],
      'or with --init (to be trained on first)',
    ],
    [[...mamba, '--checkpoint', 'a.pth.tar'], '--resume alone goes on from the last one'],
    [[...mamba, '--file_name', 'a'], '--file_name is not offered'],
    [[...mamba, '--criteria', 'remain'], 'the nearest is --criteria l1'],
    [[...mamba, '--criteria', 'saliency'], 'the nearest is --criteria taylor'],
    [[...mamba, '--struct', 'refill', '--exponents', '4'], 'got --exponents with --struct refill'],
    [
      [...mamba, '--exponents', '4', '--fillback_rate', '0.1'],
      'got --fillback_rate with --exponents, a flag of rsst',
    ],
    [[...mamba, '--rewind_epoch', '4'], 'got --rewind_epoch with no --prune_type'],
    [
      [...mamba, '--prune_type', 'rewind_lt', '--epochs', '2'],
      'got --prune_type rewind_lt, whose --rewind_epoch is 24, with --epochs 2, expected an epoch of the dense training: 0 to 2.',
    ],
    [
      [...mamba, '--prune_type', 'rewind_lt', '--rewind_epoch', '3', '--epochs', '2'],
      'got --rewind_epoch 3 with --epochs 2, expected an epoch of the dense training: 0 to 2.',
    ],
    [[...mamba, '--pretrained', 'package.json', '--init', 'a'], 'got --init with --pretrained'],
    [[...mamba, '--exp_name', 'a/b'], 'expected the name of a folder, not a path'],
    [[...mamba, '--reg_granularity_prun', '1'], '(Did you mean --reg_granularity_prune?)'],
    [[...mamba, '--rate', '1'], 'Expected a number of at least 0 and below 1'],
    [['--arch', 'mamba_smal'], 'Did you mean mamba_small?'],
    [[...mamba, '--gpu', '1', '--device', 'cpu'], 'got --gpu 1 and --device cpu'],
  ])('%j by name, with the reason', async (flags, message) => {
    const { status, stdout, stderr } = await runCli(['imp', '--exp_name', 'never', ...flags]);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });

  it('criteria that the script has, which help therefore does not list', async () => {
    const { stdout } = await runCli(['imp', '--help']);
    const [listed = ''] = /--criteria <name>[^]*?\(default/.exec(stdout) ?? [];
    expect(listed).toContain('magnitude');
    expect(listed).not.toMatch(/remain|saliency/);
    const { stderr } = await runCli(['imp', '--exp_name', 'never', ...mamba, '--criteria', 'l3']);
    expect(stderr).toMatch(/Expected magnitude, l1, .* or obd\./);
  });

  it('a run without a name', async () => {
    const { status, stderr } = await runCli(['imp', ...mamba]);
    expect(stderr).toContain('--exp_name is missing');
    expect(status).toBe(2);
  });
});
