// A family of one's own: what is refused, and what the library does with one that has only what is needed.
import { memoryStats, noGrad, randn, saveSafetensors } from '@mamba-prune/libtorch';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { settledMemory } from '../../../../test/support/garbage.js';
import { UsageError } from '../errors.js';
import { exportOnnx } from '../export/export-onnx.js';
import { add, reshape } from '../onnx/operators.js';
import { maskModel, pruneModel } from '../pruning/surgery.js';
import { families, groupKinds, modelNames, modelOptionNames, registerFamily } from './families.js';
import type { Family } from './family.js';
import type { ImageModel } from './image-model.js';
import { importStateDict } from './import/model.js';
import { inspectModel } from './inspect.js';
import { checkModelFile, loadModel, metadataKey, saveModel } from './model-file.js';
import { modelLabel } from './model-label.js';
import type { ModelOptions } from './model-options.js';
import { createModel, modelShapes, parametersOf } from './registry.js';
import { type OwnConfig, ownFamily, ownLayout } from './testing/own-family.js';
import { relativeDifference } from './testing/parity.js';

const folder = mkdtempSync(join(tmpdir(), 'register-family-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const { flag, label, values } = {
  flag: '--tokens <n>',
  label: { en: 'T' },
  values: { type: 'integer', min: 1, max: 9 },
} as const;
const kind = { units: 'tokens', label, rateFlag: '--tokens-rate' };
const published = {
  name: 'own_tuned',
  arch: 'refused_small',
  address: 'hf:lab/own:own.pth',
  dataset: 'imagenet',
  classes: 1000,
  accuracy: 0.761,
  imageSize: 224,
  license: 'mit',
  source: 'https://example.org',
};
const info = (model: ImageModel) => ({
  classes: Array.from({ length: model.config.numClasses }, (_, i) => `class ${i}`),
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
  history: [],
});

describe('registerFamily refuses', () => {
  const refused = (family: unknown): string => {
    const before = families();
    let message = 'nothing';
    try {
      registerFamily(family as Family);
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      ({ message } = error as Error);
    }
    expect(families()).toEqual(before);
    return message;
  };

  it.each<[what: string, more: Record<string, unknown>, message: string]>([
    ['no name', { name: undefined }, '→ at name'],
    [
      'a name that is no word',
      { name: 'My Family' },
      'expected a word of lower-case letters, digits and _',
    ],
    ['no title', { title: '' }, '→ at title'],
    ['no architecture', { architectures: {} }, 'expected one architecture at least'],
    ['an architecture that is no word', { architectures: { 'a-b': {} } }, '→ at architectures'],
    ['no options', { options: undefined }, '→ at options'],
    ['an option without values', { options: { tokens: { flag } } }, '→ at options.tokens.values'],
    [
      'a flag that is none',
      { options: { tokens: { values, flag: 'tokens' } } },
      'expected a flag such as --tokens <n>',
    ],
    [
      'an option named as another field',
      { options: { widths: { values } } },
      'expected no option named family, arch, widths',
    ],
    [
      'published weights at no address',
      { published: [{ ...published, address: 'weights.pth' }] },
      'expected hf:owner/name:file, or the http or https address of a file',
    ],
    [
      'published weights of an accuracy in percent',
      { published: [{ ...published, accuracy: 76.1 }] },
      '→ at published[0].accuracy',
    ],
    ['no kinds', { kinds: {} }, 'expected one kind of groups at least'],
    [
      'a kind without a label',
      { kinds: { tokens: { ...kind, label: undefined } } },
      '→ at kinds.tokens.label',
    ],
    [
      'a rate flag that is none',
      { kinds: { tokens: { ...kind, rateFlag: 'x' } } },
      'expected a flag such as --tokens-rate',
    ],
    [
      'a kind named as a word of --target',
      { kinds: { all: kind } },
      'expected no kind named both, all',
    ],
    ['no checkConfig', { checkConfig: undefined }, 'expected a function\n  → at checkConfig'],
    ['no create', { create: 'model' }, 'expected a function\n  → at create'],
    ['shapes that are no function', { shapes: {} }, 'expected a function\n  → at shapes'],
    ['a layout in part', { layout: { programs: 'x', telling: [] } }, '→ at layout.recognises'],
    [
      'modules compared by what is no function',
      { layout: { ...ownLayout('x'), functions: ['GELU'] } },
      '→ at layout.functions',
    ],
    [
      'scores scaled by what is no function',
      { layout: { ...ownLayout('x'), scaleScores: 2 } },
      '→ at layout.scaleScores',
    ],
    ['a graph without build', { onnx: {} }, '→ at onnx.build'],
  ])('%s', (_, more, message) => {
    const text = refused({ ...ownFamily('refused'), ...more });
    expect(text).toContain('registerFamily: got a family that is not complete:\n');
    expect(text).toContain(message);
  });

  it('what is no object', () => {
    expect(refused(undefined)).toContain('got a family that is not complete');
  });

  it.each<[what: string, more: Partial<Family>, message: string]>([
    [
      'a name that is taken',
      { name: 'vit' },
      'vit: a family of this name is registered already. Choose another name.',
    ],
    [
      'an architecture of another family',
      { architectures: { resnet20: {} } },
      "refused: the architecture 'resnet20' is one of ResNet already. Choose another name.",
    ],
    [
      'an option that has another flag elsewhere',
      {
        options: {
          depth: { values: { type: 'integer', min: 1, max: 1000 }, flag: '--layers <n>' },
        },
      },
      'the option `depth` has other values or another flag than in Mamba.',
    ],
    [
      'an option that has other values elsewhere',
      { options: { depth: { values, flag: '--depth <n>' } } },
      'the option `depth` has other values or another flag than in Mamba.',
    ],
    [
      'a kind that has another flag elsewhere',
      { kinds: { heads: { ...kind } } },
      "the kind 'heads' has another rateFlag or optional than in ViT (--heads-rate, optional false).",
    ],
    [
      'a kind that is optional elsewhere',
      { kinds: { state: { ...kind, rateFlag: '--state-rate' } } },
      "the kind 'state' has another rateFlag or optional than in Mamba (--state-rate, optional true).",
    ],
    [
      'the flag of an option of another family',
      { options: { layers: { values, flag: '--depth <n>' } } },
      'the flag --depth of the option `layers` is that of the option `depth` in Mamba. Choose another one.',
    ],
    [
      'the flag of a kind of another family',
      { kinds: { tokens: { ...kind, rateFlag: '--mlp-rate' } } },
      "the flag --mlp-rate of the kind 'tokens' is that of the kind 'mlp' in Mamba. Choose another one.",
    ],
    [
      'an option with the flag of a kind',
      { options: { rate: { values, flag: '--mlp-rate <x>' } } },
      "the flag --mlp-rate of the option `rate` is that of the kind 'mlp' in Mamba.",
    ],
    [
      'a flag twice',
      { options: { tokens: { values, flag }, words: { values, flag } } },
      'the flag --tokens of the option `words` is that of the option `tokens` in Family refused.',
    ],
    [
      'published weights of an architecture of others',
      { published: [{ ...published, arch: 'vit_tiny' }] },
      "the published weights 'own_tuned' are of 'vit_tiny', which is none of its architectures",
    ],
    [
      'published weights by a name that is taken',
      { published: [{ ...published, name: 'vit_tiny' }] },
      "there are published weights 'vit_tiny' of ViT already",
    ],
  ])('%s', (_, more, message) => {
    expect(refused({ ...ownFamily('refused'), ...more })).toContain(message);
  });
});

describe('a registered family', () => {
  const family = ownFamily('plain', { module: 'plain-package' });
  registerFamily(family);
  /** `ModelOptions` takes what a program merges into it; the options of this family are of this test only. */
  const options = (own: Readonly<Record<string, number | undefined>>): ModelOptions => ({
    imageSize: 4,
    ...own,
  });

  it('is one of all', () => {
    expect(modelNames()).toEqual(expect.arrayContaining(['plain_small', 'plain_large']));
    expect(modelOptionNames('plain_small')).toEqual([
      'neurons',
      'numClasses',
      'imageSize',
      'channels',
    ]);
    expect(groupKinds().get('mlp')?.rateFlag).toBe('--mlp-rate');
    expect(modelLabel('plain_small', { neurons: 7 })).toBe('plain_small (neurons 7)');
  });

  it('is registered once, however often that object comes', () => {
    const before = families();
    registerFamily(family);
    expect(families()).toEqual(before);
    expect(() => {
      registerFamily({ ...family });
    }).toThrow('plain: a family of this name is registered already');
  });

  it('makes models of its sizes, and of what is given over them', () => {
    const model = createModel('plain_small', options({ neurons: undefined }));
    expect(model.config).toEqual({
      family: 'plain',
      arch: 'plain_small',
      neurons: 6,
      widths: {},
      imageSize: 4,
      channels: 3,
      numClasses: 10,
    });
    const wide = createModel('plain_small', options({ neurons: 8 }));
    expect(wide.numParameters() - model.numParameters()).toBe(2 * (2 * 48 + 1));
    expect(() => createModel('plain_small', { depth: 2 })).toThrow(
      'plain_small: got the option `depth`, expected some of `neurons`, `numClasses`, `imageSize`, `channels`.',
    );
    expect(() => createModel('plain_small', { imageSize: 0 })).toThrow('plain configuration: ');
  });

  it('tells its shapes without telling how, and leaves no tensors behind', async () => {
    const { config } = createModel('plain_small', { imageSize: 4 });
    const before = (await settledMemory()).tensors;
    const shapes = modelShapes(config);
    expect(memoryStats().tensors).toBe(before);
    expect(shapes.get('mlp.fc1.weight')).toEqual([6, 48]);
    expect(parametersOf(config)).toBe(6 * 48 + 6 + 48 * 6 + 48 + 48 * 10 + 10);
  });

  it('is pruned as its masked model computes', () => {
    const model = createModel('plain_small', { imageSize: 4 }).eval();
    const kept = new Map([['mlp', [0, 3, 4]]]);
    const x = randn([2, 3, 4, 4]);
    const cut = noGrad(() => pruneModel(model, kept).eval().forward(x));
    maskModel(model, kept);
    // Sums of 48 products in another order: a few float32 roundings of 6e-8.
    expect(
      relativeDifference(
        cut,
        noGrad(() => model.forward(x)),
      ),
    ).toBeLessThan(1e-5);
    expect(inspectModel(pruneModel(model, kept)).groups).toMatchObject([
      { name: 'mlp', kind: 'mlp', width: 3, macs: 2 * 3 * 48 },
    ]);
  });

  it('is saved with its module, loaded, and held against its tensors', () => {
    const path = join(folder, 'plain.safetensors');
    const model = createModel('plain_small', { imageSize: 4 }).eval();
    saveModel(path, model, info(model));
    checkModelFile(path);
    const x = randn([2, 3, 4, 4]);
    expect(loadModel(path).model.forward(x).equal(model.forward(x))).toBe(true);
    const other = createModel('plain_large', { imageSize: 4 });
    const lying = join(folder, 'lying.safetensors');
    const metadata = JSON.stringify({ format: 1, model: other.config, ...info(other) });
    saveSafetensors(lying, model.stateDict(), { [metadataKey]: metadata });
    expect(() => loadModel(lying)).toThrow(/lying\.safetensors: .*mlp\.fc1/s);
  });

  it('is not exported to ONNX without a graph, and says so', async () => {
    const model = createModel('plain_small', { imageSize: 4 });
    await expect(exportOnnx(join(folder, 'no.onnx'), model, info(model))).rejects.toThrow(
      'ONNX export: got plain_small, a Family plain, whose family does not say how it is written as an ONNX graph. ' +
        'Give the family an onnx.build.',
    );
  });
});

it('names what has to be loaded for a file of a family that is not registered', () => {
  const model = createModel('vit_tiny', { dModel: 6, depth: 1, heads: 1, imageSize: 4 });
  const written = (more: object): string => {
    const path = join(folder, 'absent.safetensors');
    const config = { ...model.config, family: 'absent' };
    const metadata = JSON.stringify({ format: 1, model: config, ...info(model), ...more });
    saveSafetensors(path, model.stateDict(), { [metadataKey]: metadata });
    return path;
  };
  const known = written({ module: './absent.js' });
  for (const read of [loadModel, checkModelFile]) {
    expect(() => read(known)).toThrow(
      "absent.safetensors: model: got family 'absent', which is not registered. It was written with the module ./absent.js: " +
        'load it with `loadPlugin` ./absent.js, or import it before.',
    );
  }
  expect(() => loadModel(written({}))).toThrow(
    /got family 'absent', expected one of mamba, vit, resnet.*load its module with `loadPlugin`, or import it/,
  );
});

it('reads the files of other programs by the layout of its own', () => {
  registerFamily(ownFamily('foreign', { layout: ownLayout('foreign') }));
  const model = createModel('foreign_small', { imageSize: 4 }).eval();
  const theirs = new Map(
    Array.from(model.stateDict(), ([name, tensor]) => [
      name
        .replace('mlp.fc1', 'module.hidden.in')
        .replace('mlp.fc2', 'module.hidden.out')
        .replace('head', 'module.classifier'),
      tensor,
    ]),
  );
  const { model: read, notes } = importStateDict(theirs);
  expect(read.config).toMatchObject({ arch: 'foreign_small', neurons: 6, widths: { mlp: 6 } });
  expect(notes).toContain('The names of foreign were turned into ours.');
  const x = randn([2, 3, 4, 4]);
  expect(noGrad(() => read.eval().forward(x)).equal(noGrad(() => model.forward(x)))).toBe(true);
  expect(() => importStateDict(new Map([['what', randn([2])]]))).toThrow(
    'or of a model of foreign.',
  );
});

it('has its own configuration, shapes, summary and graph where it brings them', async () => {
  const seen: string[] = [];
  const heard = <T>(what: string, value: T): T => {
    seen.push(what);
    return value;
  };
  const plain = ownFamily('full');
  const shapes = (config: OwnConfig) =>
    heard('shapes', new Map([['mlp.fc1.weight', [config.neurons, 48]]]));
  registerFamily(
    ownFamily('full', {
      module: 'full-package',
      denseConfig: (arch, { numClasses = 2, ...others }) => {
        expect(others).toEqual({ imageSize: 4 });
        return heard(
          'denseConfig',
          plain.checkConfig({
            family: 'full',
            arch,
            channels: 3,
            imageSize: 4,
            neurons: 5,
            numClasses,
            widths: {},
          }),
        );
      },
      shapes,
      summary: ({ neurons }) => ({ wiring: `${neurons} neurons` }),
      onnx: {
        build: (_config, layers, image) => {
          const { g } = layers;
          const flat = reshape(g, image, ['batch', 48]);
          const bias = layers.exact.at('mlp').parameter('fc2.bias');
          const hidden = layers.mlp('mlp', ['fc1', 'fc2'], flat);
          expect(add(g, hidden, bias).shape).toEqual(['batch', 48]);
          return layers.exact.linear('head', hidden);
        },
      },
    }),
  );
  const model = createModel('full_small', { imageSize: 4, channels: undefined }).eval();
  expect(model.config).toMatchObject({ neurons: 5, numClasses: 2 });
  expect(seen).toEqual(['denseConfig', 'shapes']);
  expect(modelShapes(model.config)).toEqual(new Map([['mlp.fc1.weight', [5, 48]]]));
  expect(inspectModel(model)).toMatchObject({ wiring: '5 neurons' });
  const { verification } = await exportOnnx(join(folder, 'full.onnx'), model, info(model));
  expect(verification?.images).toBe(4);
  // It runs without the module, and is handed on.
  expect(readFileSync(join(folder, 'full.onnx'), 'latin1')).not.toContain('full-package');
});

it('says that there is no memory for a model that nothing has counted before', () => {
  registerFamily(
    ownFamily('huge', {
      create: () => {
        throw new Error(
          "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
        );
      },
    }),
  );
  expect(() => createModel('huge_small')).toThrow(
    'huge_small: the memory of this machine does not suffice for a model of these sizes. Choose smaller ones',
  );
});
