// What checkpoints say of themselves, in the entries that scripts leave beside the weights.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PlainValue, TorchCheckpoint } from '@mamba-prune/libtorch/files';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { importModel } from './model.js';
import { CheckpointWords } from './words.js';
import { checkpointCard } from './checkpoint-card.js';
import { openModelFile } from '../../workflows/open-model-file.js';

/** As an open file gives it, from what JSON can write. */
function plain(value: unknown): PlainValue {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as PlainValue;
  return new Map(Object.entries(value).map(([name, entry]) => [name, plain(entry)]));
}

const cardOf = (top: object) =>
  checkpointCard({
    words: new CheckpointWords(plain(top) as ReadonlyMap<string, PlainValue>),
  });

describe('checkpointCard', () => {
  it.each<[object, object, string]>([
    [{ arch: 'vit_small_patch16_224' }, { arch: 'vit_small', heads: 6 }, 'arch'],
    [
      { arch: 'mine', args: { model: 'deit_tiny_patch16_224.fb_in1k' } },
      { arch: 'vit_tiny' },
      'args.model',
    ],
    [
      { hyper_parameters: { model_name: 'timm/resnet50.a1_in1k' } },
      { arch: 'resnet50' },
      'hyper_parameters.model_name',
    ],
    [
      { hyper_parameters: { cfg: { backbone: 'resnet18' } } },
      { arch: 'resnet18' },
      'hyper_parameters.cfg.backbone',
    ],
  ])('takes the architecture of %j', (top, expected, at) => {
    const { card } = cardOf(top);
    expect(card).toMatchObject(expected);
    expect(card.from.arch).toBe(`the entry "${at}" of the file`);
  });

  it('takes no heads from a name that models of several numbers have, and those that are said before those of a name', () => {
    expect(cardOf({ arch: 'vit_small' }).card).not.toHaveProperty('heads');
    const model_kwargs = { num_heads: 12 };
    expect(cardOf({ args: { model: 'vit_small_patch16_224', model_kwargs } }).card).toMatchObject({
      heads: 12,
      from: { heads: 'the entry "args.model_kwargs.num_heads" of the file' },
    });
  });

  it.each<[object, readonly string[] | undefined]>([
    [{ classes: ['a', 'b'] }, ['a', 'b']],
    [{ class_to_idx: { dog: 1, cat: 0 } }, ['cat', 'dog']],
    [{ meta: { CLASSES: ['a', 'b'] } }, ['a', 'b']],
    [{ idx_to_class: { 1: 'dog', 0: 'cat' } }, ['cat', 'dog']],
    [{ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } }, undefined],
    // Two names of one class, a number without a name, and numbers of classes.
    [{ class_to_idx: { dog: 0, cat: 0 } }, undefined],
    [{ class_to_idx: { dog: 1, cat: 2 } }, undefined],
    [{ classes: [0, 1] }, undefined],
    [{ classes: 10 }, undefined],
  ])('takes the names of classes of %j', (top, expected) => {
    expect(cardOf(top).card.classes).toEqual(expected);
  });

  it('takes mean and deviation for pixels from 0 to 1, whichever the file has them for', () => {
    const half = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.25, 0.5] };
    expect(cardOf(half).card).toMatchObject(half);
    const [mean, std] = [half.mean, half.std].map((values) => values.map((value) => value * 255));
    const large = cardOf({ normalize: { mean, std } }).card;
    half.mean.forEach((value, at) => {
      expect(large.mean?.[at]).toBeCloseTo(value, 12);
      expect(large.std?.[at]).toBeCloseTo(half.std[at] as number, 12);
    });
    // A float32 is not longer than what was written.
    expect(cardOf({ mean: [Math.fround(0.485)] }).card.mean).toEqual([0.485]);
    expect(cardOf({ mean: 'imagenet', std: [] }).card).not.toHaveProperty('mean');
  });

  it.each<[PlainValue, number | undefined]>([
    [64, 64],
    [[3, 64, 64], 64],
    [[64, 64], 64],
    [[64, 32], undefined],
    ['64', undefined],
  ])('takes the size of the images of %j', (img_size, expected) => {
    expect(cardOf({ args: { img_size } }).card.imageSize).toBe(expected);
  });

  it('names what no model here computes', () => {
    const { obstacles } = cardOf({ model_args: { model_name: 'vit_tiny_patch16_rpn_224' } });
    expect(obstacles.map(({ what }) => what).join()).toMatch(/its norms behind the layers/);
  });
});

describe('settings of a model in settings', () => {
  it.each<[object, object, string]>([
    [
      { hyper_parameters: { model: { name: 'vit_small_patch16_224' } } },
      { arch: 'vit_small' },
      'hyper_parameters.model.name',
    ],
    [
      { cfg: { model: { backbone: { arch: 'resnet18' } } } },
      { arch: 'resnet18' },
      'cfg.model.backbone.arch',
    ],
    [
      { meta: { dataset_meta: { classes: ['cat', 'dog'] } } },
      { classes: ['cat', 'dog'] },
      'meta.dataset_meta.classes',
    ],
  ])('are looked into: %j', (top, said, at) => {
    const { card } = cardOf(top);
    expect(card).toMatchObject(said);
    expect(Object.values(card.from)).toContain(`the entry "${at}" of the file`);
  });

  it('are told from a state dict at the top of the file', () => {
    expect(cardOf({ model: { name: 'resnet18', heads: 3 } }).card).toEqual({ from: {} });
  });
});

describe('a checkpoint that says what its weights are', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mp-checkpoint-card-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const fixture = fileURLToPath(new URL('../fixtures/checkpoint-words.pt', import.meta.url));

  it.each([
    ['openModelFile', openModelFile],
    ['importModel', importModel],
  ])('is opened with it, and a note says where it was: %s', async (_, open) => {
    const { model, info, assumed, notes } = await open(fixture);
    expect(model.config).toMatchObject({ arch: 'vit_tiny', depth: 1, headDim: 2, imageSize: 8 });
    model.dispose();
    expect(info).toMatchObject({
      classes: ['cat', 'dog'],
      mean: [0.5, 0.4, 0.3],
      std: [0.25, 0.25, 0.5],
      preprocessing: { interpolation: 'bicubic', cropShare: 0.9 },
    });
    expect(assumed).toEqual([]);
    expect(notes).toContain(
      'Taken from entries of the file itself: `arch` vit_tiny (args.model), `heads` 6 (hyper_parameters.num_heads), `pooling` token (args.gp), ' +
        '`mean` 0.5,0.4,0.3 (hyper_parameters.norm_mean), `std` 0.25,0.25,0.5 (std), the names of 2 classes (class_to_idx), ' +
        '`interpolation` bicubic (args.interpolation), `cropShare` 0.9 (args.crop_pct).',
    );
  });

  it('is read once for what it says and for its weights', async () => {
    const open = vi.spyOn(TorchCheckpoint, 'open');
    const load = vi.spyOn(TorchCheckpoint.prototype, 'load');
    const { model } = await openModelFile(fixture);
    model.dispose();
    expect([open.mock.calls.length, load.mock.calls.length]).toEqual([1, 1]);
    vi.restoreAllMocks();
  });

  it('is described by files beside it for openModelFile alone', async () => {
    const path = join(folder, 'alone.pt');
    copyFileSync(fixture, path);
    writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify({ resample: 2 }));
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ hidden_act: 'relu' }));
    const { model } = await importModel(path);
    model.dispose();
    await expect(openModelFile(path)).rejects.toThrow(/neurons compute relu/);
    for (const name of ['preprocessor_config.json', 'config.json']) rmSync(join(folder, name));
  });

  it('gives way to what is said, and goes before what lies beside it', async () => {
    const path = join(folder, 'weights.pt');
    copyFileSync(fixture, path);
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ num_attention_heads: 2, id2label: { 0: 'x', 1: 'y' } }),
    );
    const beside = await openModelFile(path);
    expect(beside.model.config).toMatchObject({ headDim: 2 });
    expect(beside.info.classes).toEqual(['cat', 'dog']);
    const said = await openModelFile(path, { heads: 3, classes: ['u', 'v'], mean: [0, 0, 0] });
    expect(said.model.config).toMatchObject({ headDim: 4 });
    expect(said.info).toMatchObject({ classes: ['u', 'v'], mean: [0, 0, 0] });
    for (const { model } of [beside, said]) model.dispose();
    await expect(openModelFile(path, { dModel: 24 })).rejects.toThrow(
      /arch vit_tiny: so says the entry "args\.model" of the file; heads 6: so says the entry "hyper_parameters\.num_heads"/,
    );
  });
});

describe('a whole model that was pickled', () => {
  const fixture = fileURLToPath(new URL('../fixtures/checkpoint-module.pt', import.meta.url));

  it('is opened with what its modules say, which goes before the settings of the script', async () => {
    const { model, info, assumed, notes } = await openModelFile(fixture);
    expect(model.config).toMatchObject({ arch: 'vit_tiny', headDim: 2, imageSize: 8, eps: 1e-3 });
    model.dispose();
    expect(info).toMatchObject({
      mean: [0.5, 0.4, 0.3],
      std: [0.25, 0.25, 0.5],
      preprocessing: { interpolation: 'bicubic', cropShare: 0.9 },
    });
    expect(assumed).toEqual([]);
    expect(notes).toContain(
      'Taken from entries of the file itself: `arch` vit_tiny (model.module.pretrained_cfg.architecture), ' +
        '`heads` 6 (model.module.blocks.0.attn.num_heads), `pooling` token (model.module.global_pool), ' +
        "LayerNorm's eps 0.001 (model.module.blocks.0.norm1.eps), `mean` 0.5,0.4,0.3 (model.module.pretrained_cfg.mean), " +
        '`std` 0.25,0.25,0.5 (model.module.pretrained_cfg.std), `interpolation` bicubic (model.module.pretrained_cfg.interpolation), ' +
        '`cropShare` 0.9 (model.module.pretrained_cfg.crop_pct).',
    );
  });

  it('gives way to what is said', async () => {
    const { model } = await openModelFile(fixture, { heads: 3, eps: 1e-6 });
    expect(model.config).toMatchObject({ headDim: 4 });
    expect(model.config).not.toHaveProperty('eps');
    model.dispose();
  });

  it('goes before what lies beside it', async () => {
    const beside = mkdtempSync(join(tmpdir(), 'mp-pickled-'));
    const path = join(beside, 'model.pt');
    copyFileSync(fixture, path);
    const config = { num_attention_heads: 2, layer_norm_eps: 1e-12, id2label: { 0: 'x', 1: 'y' } };
    writeFileSync(join(beside, 'config.json'), JSON.stringify(config));
    const { model, info } = await openModelFile(path);
    rmSync(beside, { recursive: true });
    expect(model.config).toMatchObject({ headDim: 2, eps: 1e-3 });
    expect(info.classes).toEqual(['x', 'y']);
    model.dispose();
  });

  const pooled = fileURLToPath(new URL('../fixtures/checkpoint-pooled.pt', import.meta.url));

  it.each([
    ['avg', 'mean'],
    // Where timm has `fc_norm`, it pools by the mean unless told otherwise.
    ['token', 'token'],
  ])('pools as its timm says: %s', async (key, pooling) => {
    const { model, assumed, notes } = await openModelFile(pooled, { key });
    expect({ pooling: 'token', ...model.config }).toMatchObject({ pooling });
    expect(model.config).not.toHaveProperty('poolsBeforeNorm');
    model.dispose();
    expect(assumed.join()).not.toContain('pooling');
    expect(notes.join(' ')).toContain(`\`pooling\` ${pooling} (${key}.global_pool)`);
  });

  it.each([
    ['max', /another pooling than token or mean \(global_pool max\), as the file says/],
    ['all', /a mean over all of its tokens.*\(all\.pool_include_prefix\), as the file says/],
    ['none', /pools none of its tokens \(none\.global_pool ''\).*Give `pooling`: 'token' where/],
  ])('is refused where it pools otherwise: %s', async (key, message) => {
    await expect(openModelFile(pooled, { key })).rejects.toThrow(message);
  });

  it('pools as is said where the script does it', async () => {
    const { model } = await openModelFile(pooled, { key: 'none', pooling: 'mean' });
    expect(model.config).toMatchObject({ pooling: 'mean' });
    model.dispose();
  });
});
