import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inspectModel } from '../models/inspect.js';
import { runCli } from '../cli/testing/run-cli.js';
import type { DatasetInfo } from '../data/types.js';
import { HubServer } from '../hub/testing/hub-server.js';
import type { ImageModel } from '../models/image-model.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { RunFolder } from '../training/run-folder.js';
import { pruneModel } from '../pruning/surgery.js';
import { modelFromWeights, startingWeights } from './starting-weights.js';
import { side, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

const sizes = { dModel: 8, depth: 2, dState: 3, imageSize: side, numClasses: 5 };

function dataset(changes: Partial<DatasetInfo> = {}): { info: DatasetInfo } {
  const grey = [0.5, 0.5, 0.5];
  const images = { channels: 3, height: side, width: side, mean: grey, std: grey } as const;
  return { info: { name: 'tiny', classes: ['left', 'right'], ...images, ...changes } };
}

const values = (model: ImageModel): Map<string, number[]> =>
  new Map(Array.from(model.stateDict(), ([name, tensor]) => [name, tensor.toNumbers()]));

/** A model of five classes whose first block has lost half of its channels and neurons. */
function prunedModel(): ImageModel {
  manualSeed(3);
  const model = createModel('mamba_nano', sizes);
  const half = (size: number): number[] => Array.from({ length: size / 2 }, (_, i) => 2 * i);
  const kept = new Map([
    ['blocks.0.ssm', half(16)],
    ['blocks.0.mlp', half(32)],
  ]);
  return pruneModel(model, kept);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-starting-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const classes = ['a', 'b', 'c', 'd', 'e'];
  saveModel(at('five.safetensors'), prunedModel(), {
    classes,
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
    history: [],
  });
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a pruned model that is trained on', () => {
  it('still tells which units it lost', async () => {
    const given = loadModel(at('five.safetensors'));
    const widths = { 'blocks.0.ssm': 16, 'blocks.0.mlp': 32 };
    const cut = {
      step: 'prune',
      widthsBefore: widths,
      kept: { 'blocks.0.ssm': '0,2,4,6,8,10,12,14' },
    };
    const path = at('cut.safetensors');
    const history = [{ step: 'train' }, { step: 'import' }, cut, { step: 'train' }];
    saveModel(path, given.model, { ...given.info, history });
    given.model.dispose();
    const { model, origin } = await modelFromWeights(path, dataset());
    expect(origin).toEqual([{ step: 'import', assumed: [] }, cut]);
    const { groups } = inspectModel(model, { history: [...origin, { step: 'train' }] });
    expect(groups.find(({ name }) => name === 'blocks.0.ssm')).toMatchObject({
      width: 8,
      denseWidth: 16,
    });
    model.dispose();
  });
});

describe('modelFromWeights', () => {
  it('does not train on test images of the other division of Fashion-MNIST, nor test on training images', async () => {
    const given = loadModel(at('five.safetensors'));
    saveModel(at('fashion.safetensors'), given.model, {
      ...given.info,
      dataset: 'fashion-mnist',
      mean: [0.28604, 0.28604, 0.28604],
    });
    given.model.dispose();
    const of = (mean: number) => dataset({ name: 'fashion-mnist', mean: [mean, mean, mean] });
    await expect(modelFromWeights(at('fashion.safetensors'), of(0.28632))).rejects.toThrow(
      /trained on another division of fashion-mnist .*\(`data`\)/,
    );
    const { model } = await modelFromWeights(at('fashion.safetensors'), of(0.28604));
    model.dispose();
  });

  it.each([
    ['mamba_nano', { dModel: 8, depth: 1, dState: 2 }, ['head.weight', 'head.bias']],
    ['resnet20', { baseWidth: 4, blocks: [1] }, ['fc.weight', 'fc.bias']],
    ['vit_tiny', { dModel: 24, depth: 1, heads: 3, patchSize: 4 }, ['head.weight', 'head.bias']],
  ] as const)(
    'puts the rows of the classifier of a %s into the order of the classes of the data',
    async (arch, options, rows) => {
      manualSeed(4);
      const given = createModel(arch, { ...options, imageSize: side, numClasses: 3 });
      const before = values(given);
      const path = at(`order-${arch}.safetensors`);
      const grey = [0.5, 0.5, 0.5];
      const write = (classes: string[]): void => {
        saveModel(path, given, { classes, mean: grey, std: grey, history: [] });
      };
      const read = async () => modelFromWeights(path, dataset({ classes: ['a', 'b', 'c'] }));
      write(['b', 'c', 'a']);
      const { model, notes } = await read();
      expect(notes).toContain(
        'The file has the classes of tiny in another order: the rows of the classifier were put into that of the data.',
      );
      for (const [name, list] of values(model)) {
        const old = before.get(name) ?? [];
        const third = old.length / 3;
        const expected = (rows as readonly string[]).includes(name)
          ? [...old.slice(2 * third), ...old.slice(0, 2 * third)]
          : old;
        expect(list, name).toEqual(expected);
      }
      model.dispose();
      // The same number of other classes may be the same ones by other names.
      write(['x', 'b', 'a']);
      const others = await read();
      expect(values(others.model)).toEqual(before);
      expect(others.notes).toContain(
        'The classifier begins with the weights that the file has, though its 3 classes have other names than those of tiny: ' +
          'x, b, a there, a, b, c here.',
      );
      write(['A', 'b', 'c']);
      const same = await read();
      expect(same.notes.join()).not.toContain('classifier');
      for (const { model: made } of [others, same]) made.dispose();
      given.dispose();
    },
  );

  it('takes every weight of a pruned model but those of a classifier for other classes', async () => {
    const given = values(loadModel(at('five.safetensors')).model);
    manualSeed(7);
    const { model, notes } = await modelFromWeights(at('five.safetensors'), dataset());
    expect(model.config).toMatchObject({ arch: 'mamba_nano', numClasses: 2 });
    expect(model.config.widths['blocks.0.ssm']).toBe(8);
    const own = values(model);
    expect([...own.keys()]).toEqual([...given.keys()]);
    for (const [name, list] of own) {
      if (name.startsWith('head.')) expect(list).toHaveLength(name === 'head.bias' ? 2 : 16);
      else expect(list, name).toEqual(given.get(name));
    }
    expect(notes).toEqual([
      'The classifier (head.weight, head.bias) begins with random weights: it was made for 5 classes, and tiny has 2.',
    ]);
  });

  it('takes the classifier too where the number of classes is the same', async () => {
    const classes = ['a', 'b', 'c', 'd', 'e'];
    const { model, notes } = await modelFromWeights(at('five.safetensors'), dataset({ classes }));
    expect(values(model)).toEqual(values(loadModel(at('five.safetensors')).model));
    expect(notes).toEqual([]);
  });

  it("takes a state dict in torchvision's layout, at another image size", async () => {
    const given = createModel('resnet20', {
      baseWidth: 2,
      blocks: [1, 1, 1],
      imageSize: 32,
    });
    saveSafetensors(at('resnet.safetensors'), given.stateDict(), {});
    expect(await startingWeights(at('five.safetensors'))).toEqual({
      arch: 'mamba_nano',
      import: {},
      notes: [],
    });
    const { model, notes } = await modelFromWeights(at('resnet.safetensors'), dataset(), {
      arch: 'resnet20',
      options: { baseWidth: 2, blocks: [1, 1, 1], stem: 'cifar' },
    });
    expect(model.config).toMatchObject({ arch: 'resnet20', imageSize: side, numClasses: 2 });
    const [own, before] = [values(model), values(given)];
    for (const [name, list] of own)
      if (!name.startsWith('fc.')) expect(list).toEqual(before.get(name));
    expect(notes.at(-1)).toContain(
      'The classifier (fc.weight, fc.bias) begins with random weights',
    );
  });

  it.each(['both', 'end'] as const)(
    'reads shortcuts without parameters as it was told to, with zeros at %s',
    async (shortcutPadding) => {
      const small = { baseWidth: 2, blocks: [1, 1, 1], imageSize: 32 };
      const given = createModel('resnet20', small);
      const tensors = [...given.stateDict()].filter(([name]) => !name.includes('downsample'));
      saveSafetensors(at('option-a.safetensors'), new Map(tensors), {});
      given.dispose();
      const said = { shortcutPadding, imageSize: 32, mean: [0, 0, 0] };
      const found = await startingWeights(at('option-a.safetensors'), said);
      // Images are the data's.
      const { baseWidth, blocks } = small;
      expect(found.import).toEqual({ shortcutPadding, baseWidth, blocks });
      const { model, notes } = await modelFromWeights(at('option-a.safetensors'), dataset(), found);
      const side = shortcutPadding === 'both' ? 'on both sides' : 'at the end';
      expect(notes.join(' ')).toContain(`with the channels of zeros ${side}`);
      model.dispose();
    },
  );

  it.each<[string, Partial<DatasetInfo>, RegExp]>([
    [
      'grey images',
      { channels: 1 },
      /weights for images with 3 channels, expected 1, as those of tiny/,
    ],
    [
      'larger images',
      { height: 16, width: 16 },
      /its pos_embed is \[1, 4, 8\], but the images need \[1, 16, 8\]\. It was made for images of 8 px/,
    ],
  ])('refuses weights that are not for %s', async (_, changes, message) => {
    await expect(modelFromWeights(at('five.safetensors'), dataset(changes))).rejects.toThrow(
      message,
    );
  });

  it('refuses another architecture than the one asked for', async () => {
    await expect(
      modelFromWeights(at('five.safetensors'), dataset(), { arch: 'mamba_tiny' }),
    ).rejects.toThrow(/`arch` mamba_nano, asked for mamba_tiny/);
  });
});

describe('a training from given weights', () => {
  const settings = () => ({
    ...tinyTraining(at('images')),
    model: {},
    init: at('five.safetensors'),
  });

  it('begins with them, keeps them to rewind to, and goes on without their file', async () => {
    const stop = new AbortController();
    const out = at('run');
    const notes: string[] = [];
    const first = await trainRun(settings(), {
      out,
      signal: stop.signal,
      hooks: {
        onNote: (note) => notes.push(note),
        onEpoch: () => {
          stop.abort();
        },
      },
    });
    expect(first.result.finished).toBe(false);
    expect(notes[0]).toContain('begins with random weights');
    const start = values(loadModel(join(out, 'checkpoints', 'init.safetensors')).model);
    const given = values(loadModel(at('five.safetensors')).model);
    expect(start.get('blocks.0.ssm.in_proj.weight')).toEqual(
      given.get('blocks.0.ssm.in_proj.weight'),
    );

    renameSync(at('five.safetensors'), at('moved.safetensors'));
    const { result } = await trainRun(settings(), { out, resume: true });
    renameSync(at('moved.safetensors'), at('five.safetensors'));
    expect(result).toMatchObject({ finished: true, epochs: 3 });

    const whole = await trainRun(settings(), { out: at('whole') });
    const bytes = (path: string) => values(loadModel(join(path, 'model.safetensors')).model);
    expect(bytes(out)).toEqual(bytes(whole.path));
  });

  it('prepares the images as those were that the weights have seen, and records it', async () => {
    const given = loadModel(at('five.safetensors'));
    const preprocessing = { interpolation: 'bicubic', cropShare: 0.5 } as const;
    const init = at('bicubic.safetensors');
    saveModel(init, given.model, { ...given.info, preprocessing });
    given.model.dispose();
    // Images of the model's own size would be taken as they are.
    await writeTinyImages(at('larger'), 12);
    const larger = { ...settings(), data: at('larger') };
    const recorded = (path: string) => loadModel(join(path, 'model.safetensors')).info;
    const losses = (path: string) =>
      RunFolder.open(path)
        .readMetrics()
        .flatMap((line) => (line.type === 'epoch' ? [line.loss] : []));
    const notes: string[] = [];
    const stop = new AbortController();
    const onEpoch = (): void => {
      stop.abort();
    };
    const out = at('as-before');
    const first = {
      out,
      signal: stop.signal,
      hooks: { onEpoch, onNote: (note: string) => notes.push(note) },
    };
    await trainRun({ ...larger, init }, first);
    expect(notes.at(-1)).toBe(
      'The images are prepared as those were that the weights have seen: bicubic, with a crop share of 0.5. ' +
        '`interpolation` and `cropShare` choose otherwise.',
    );
    await trainRun({ ...larger, init }, { out, resume: true });
    expect(recorded(out).preprocessing).toEqual(preprocessing);
    expect(RunFolder.open(out).config['settings']).toMatchObject(preprocessing);
    // It is what the training saw.
    const asked = await trainRun({ ...larger, ...preprocessing }, { out: at('asked') });
    expect(losses(out)).toEqual(losses(asked.path));
    const other = { interpolation: 'bilinear', cropShare: 1 } as const;
    const otherwise = await trainRun({ ...larger, init, ...other }, { out: at('otherwise') });
    expect(recorded(otherwise.path).preprocessing).toEqual(other);
    expect(losses(otherwise.path)).not.toEqual(losses(out));
  });

  it('says that what files beside weights say of images gives way to the data', async () => {
    manualSeed(4);
    const options = { dModel: 24, depth: 1, heads: 3, imageSize: side, patchSize: 4 };
    const model = createModel('vit_tiny', { ...options, numClasses: 2 });
    mkdirSync(at('card'));
    saveSafetensors(at('card', 'weights.safetensors'), model.stateDict(), {});
    const half = [0.5, 0.5, 0.5];
    const config = { num_attention_heads: 6, id2label: { 0: 'cat', 1: 'dog' } };
    const preprocessor = { image_mean: half, image_std: half, size: { height: side, width: side } };
    writeFileSync(at('card', 'config.json'), JSON.stringify(config));
    writeFileSync(at('card', 'preprocessor_config.json'), JSON.stringify(preprocessor));
    const trained = await runCli([
      'train',
      '--from',
      at('card', 'weights.safetensors'),
      '--dataset',
      'folder',
      '--data',
      at('images'),
      '--image-size',
      String(side),
      '--epochs',
      '1',
      '--batch-size',
      '8',
      '--arch',
      'vit_tiny',
      '--d-model',
      '24',
      '--depth',
      '1',
      '--out',
      at('carded'),
      '--json',
    ]);
    expect(trained.status).toBe(0);
    const { from } = JSON.parse(trained.stdout) as { readonly from: { readonly notes: string[] } };
    const ofTheData = /^In a training classes, mean and deviation are those of the data/;
    expect(from.notes[0]).toMatch(
      /^Taken from the config\.json beside it: --heads 6, the names of/,
    );
    expect(from.notes.filter((note) => ofTheData.test(note))).toHaveLength(1);
    const said = trained.stderr.replaceAll(/\s+/g, ' ');
    // Of the flags that train has, in their spelling.
    expect(said).toContain('mean 0.5,0.5,0.5, std 0.5,0.5,0.5, --crop-share 1.');
    expect(said).toContain('In a training classes, mean and deviation are those of the data');
    expect(said).toContain('bilinear, with a crop share of 1. --interpolation and --crop-share');
    const { info } = loadModel(at('carded', 'model.safetensors'));
    expect(info.preprocessing).toEqual({ interpolation: 'bilinear', cropShare: 1 });
  });

  it('is what train --from does, from a file, a run and the hub', async () => {
    const train = (from: string, out: string) =>
      runCli([
        'train',
        '--from',
        from,
        '--dataset',
        'folder',
        '--data',
        at('images'),
        '--image-size',
        String(side),
        '--epochs',
        '1',
        '--batch-size',
        '8',
        '--out',
        at(out),
      ]);
    const file = await train(at('five.safetensors'), 'from-file');
    expect(file.stderr).toContain('The classifier (head.weight, head.bias)');
    expect(file.status).toBe(0);
    expect(loadModel(at('from-file', 'model.safetensors')).model.config).toMatchObject({
      arch: 'mamba_nano',
      numClasses: 2,
      widths: { 'blocks.0.ssm': 8 },
    });
    expect((await train(at('from-file'), 'from-run')).status).toBe(0);

    const files = { 'model.safetensors': readFileSync(at('five.safetensors')) };
    const server = await HubServer.start({ 'lab/five': { refs: { main: 'c'.repeat(40) }, files } });
    vi.stubEnv('HF_ENDPOINT', server.endpoint);
    vi.stubEnv('HF_HUB_CACHE', at('hub'));
    vi.stubEnv('HF_TOKEN_PATH', at('none'));
    const hub = await train('hf:lab/five', 'from-hub');
    server.stop();
    expect(hub.status).toBe(0);
    expect(values(loadModel(at('from-hub', 'model.safetensors')).model)).toEqual(
      values(loadModel(at('from-file', 'model.safetensors')).model),
    );
  });
});
