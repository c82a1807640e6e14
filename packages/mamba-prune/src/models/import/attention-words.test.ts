// What a layout of one's own makes of the modules of a pickled model: by the functions that docs/extend.md shows, as they stand there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  FormatError,
  type Tensor,
  loadTorchSave,
  manualSeed,
  nn,
  noGrad,
  randn,
} from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { writeDocumentedModules } from '../../data/testing/documented-modules.js';
import { depth as depthOption } from '../common-options.js';
import { configFields, parseConfig } from '../config-checks.js';
import { registerFamily } from '../families.js';
import type { Family } from '../family.js';
import type { ImageModel } from '../image-model.js';
import type { Layout } from './layout.js';
import { importModel } from './model.js';

const { common, size, depth } = configFields;
const schema = z.strictObject({ family: z.string(), ...common, headDim: size, depth });
type Config = z.infer<typeof schema>;

class Block extends nn.Module {
  readonly #query: nn.Linear;
  readonly #key: nn.Linear;
  readonly #value: nn.Linear;
  readonly #headDim: number;

  constructor(headDim: number) {
    super();
    this.#headDim = headDim;
    this.#query = this.child('query', new nn.Linear(headDim, headDim));
    this.#key = this.child('key', new nn.Linear(headDim, headDim));
    this.#value = this.child('value', new nn.Linear(headDim, headDim));
  }

  override forward(x: Tensor): Tensor {
    const keys = this.#key.forward(x).transpose(1, 2);
    const scores = this.#query
      .forward(x)
      .matmul(keys)
      .mul(this.#headDim ** -0.5);
    return scores.softmax(2).matmul(this.#value.forward(x));
  }
}

/** Attentions of one head over the rows of an image. Nothing of it is pruned. */
class QueryNet extends nn.Module implements ImageModel {
  readonly #blocks: readonly Block[];
  readonly #head: nn.Linear;
  readonly config: Config;

  constructor(config: Config) {
    super();
    this.config = config;
    const { headDim, numClasses } = config;
    this.#blocks = Array.from({ length: config.depth }, () => new Block(headDim));
    this.child('blocks', new nn.ModuleList([...this.#blocks]));
    this.#head = this.child('head', new nn.Linear(headDim, numClasses));
  }

  override forward(images: Tensor): Tensor {
    const x = this.#blocks.reduce((rows, block) => block.forward(rows), images.squeeze(1));
    return this.#head.forward(x.mean([1]));
  }

  pruningGroups() {
    const members = [{ parameter: 'head.weight', dim: 1, scored: true, consumer: true }];
    return [{ name: 'head', kind: 'inputs', size: this.config.headDim, members }];
  }

  macs() {
    return [{ name: 'head', macs: this.#head.weight.numel }];
  }

  withWidths(): QueryNet {
    return new QueryNet(this.config);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'mp-attention-words-'));
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/checkpoint-${name}`, import.meta.url));

beforeAll(async () => {
  const { 'attention.mjs': module = '' } = writeDocumentedModules(folder, 'none', 'extend.md');
  const { functions, scaleScores } = (await import(module)) as Required<
    Pick<Layout, 'functions' | 'scaleScores'>
  >;
  const family: Family<Config> = {
    name: 'query',
    title: 'query net',
    architectures: { query_small: { headDim: 4, depth: 2 } },
    options: { depth: depthOption },
    kinds: { inputs: { units: 'inputs', label: { en: 'Inputs' }, rateFlag: '--inputs-rate' } },
    checkConfig: (value) => parseConfig('query', schema, value),
    create: (config) => new QueryNet(config),
    layout: {
      programs: 'a query net',
      telling: ['depth'],
      recognises: (shapes) => shapes.has('blocks.0.query.weight'),
      read: (tensors) => ({
        sizes: { depth: 2 },
        tensors,
        notes: [],
        config: (arch) => ({
          config: {
            family: 'query',
            arch,
            depth: 2,
            headDim: 4,
            channels: 1,
            imageSize: 4,
            numClasses: 2,
            widths: {},
          },
          assumed: [],
          notes: [],
        }),
      }),
      functions,
      scaleScores,
    },
  };
  registerFamily(family);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What the script computed, from the weights of its file. */
function computed(weights: ReadonlyMap<string, Tensor>, images: Tensor, scales: number[]): Tensor {
  const linear = (name: string, x: Tensor): Tensor => {
    const [weight, bias] = ['weight', 'bias'].map((part) => weights.get(`${name}.${part}`));
    return x.matmul((weight as Tensor).transpose(0, 1)).add(bias as Tensor);
  };
  const rows = scales.reduce((x, scale, block) => {
    const [q, k, v] = ['query', 'key', 'value'].map((part) => linear(`blocks.${block}.${part}`, x));
    const scores = (q as Tensor).matmul((k as Tensor).transpose(1, 2)).mul(scale);
    return scores.softmax(2).matmul(v as Tensor);
  }, images.squeeze(1));
  return linear('head', rows.mean([1]));
}

describe('a layout of its own', () => {
  it('takes over the scale of the scores of a pickled model', async () => {
    const weights = await loadTorchSave(fixture('scaled.pt'), { onUnknownGlobal: 'placeholder' });
    const { model, notes } = await importModel(fixture('scaled.pt'));
    expect(notes.join(' ')).toContain(
      'An attention scales its scores otherwise than by 1 over the root of the width of a head (blocks.1.scale 0.2500): ' +
        'its queries were multiplied, which computes the same.',
    );
    manualSeed(0);
    const images = randn([3, 1, 4, 4]).mul(4);
    const logits = noGrad(() => model.forward(images));
    const difference = (scales: number[]): number =>
      logits
        .sub(computed(weights, images, scales))
        .abs()
        .amax()
        .item();
    // Roundings of float32; the scale of a new model is seen.
    expect(difference([0.5, 0.25])).toBeLessThan(1e-6);
    expect(difference([0.5, 0.5])).toBeGreaterThan(1e-4);
    model.dispose();
  });

  it('refuses a function that its models do not compute', async () => {
    const refused = importModel(fixture('silu.pt'));
    await expect(refused).rejects.toThrow(FormatError);
    await expect(refused).rejects.toThrow(
      'got a query net with a module of the class torch.nn.modules.activation.SiLU (net.blocks.0.act), as the file says, ' +
        'expected GELU between its layers: no architecture here has another.',
    );
  });
});
