// Trainings under a teacher against PyTorch (teacher-peer.py): the same start, batches and learning rates must give the same
// losses and weights.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Tensor,
  loadSafetensors,
  manualSeed,
  noGrad,
  rand,
  saveSafetensors,
} from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pythonWith, unlessPython } from '../../../../test/support/python.js';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import type { LossTerm } from '../training/hooks.js';
import { keptWeightsPath } from './prune/rewound-weights.js';
import type { RecipeSettings } from './settings.js';
import { side, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

const needed = 'torch, numpy';
const python = pythonWith(needed);
const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** As teacher-peer.py has them. */
const families = {
  vit: { arch: 'vit_tiny', sizes: { dModel: 12, depth: 2, heads: 2, patchSize: 4 } },
  resnet: { arch: 'resnet20', sizes: { blocks: [1, 1], baseWidth: 6 } },
} as const;
type Family = keyof typeof families;

/** Of the teachers' pixels: far from those of the data. */
const own = { mean: [0.2, 0.3, 0.4], std: [0.5, 0.6, 0.7] };

interface Case {
  readonly student: Family;
  readonly teacher: Family;
  readonly weight: number;
  readonly temperature: number;
  readonly recipe?: Partial<RecipeSettings>;
}

const cases: Record<string, Case> = {
  'a ViT under a ResNet': { student: 'vit', teacher: 'resnet', weight: 0.3, temperature: 2 },
  'a ResNet under a ViT': { student: 'resnet', teacher: 'vit', weight: 0.3, temperature: 2 },
  'a ViT under a ResNet without the labels': {
    student: 'vit',
    teacher: 'resnet',
    weight: 1,
    temperature: 3,
  },
  'a ViT under a ResNet with smoothed labels': {
    student: 'vit',
    teacher: 'resnet',
    weight: 0.3,
    temperature: 2,
    recipe: { labelSmoothing: 0.1 },
  },
  'a ViT under a ResNet with mixed images and smoothed targets': {
    student: 'vit',
    teacher: 'resnet',
    weight: 0.3,
    temperature: 2,
    recipe: { labelSmoothing: 0.1, mixup: 0.8 },
  },
};

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

interface Trained {
  readonly losses: readonly number[];
  readonly start: Map<string, Tensor>;
  readonly after: Map<string, Tensor>;
  readonly expected: { readonly losses: readonly number[]; readonly after: Map<string, Tensor> };
}
const trained = new Map<string, Trained>();

/** Random, with norms that are not the initial ones and zeros: these hide mistakes. */
function writeTeacher(family: Family): void {
  const { arch, sizes } = families[family];
  manualSeed(11);
  const shape = { imageSize: side, channels: 3, numClasses: 2 };
  const model = createModel(arch, { ...sizes, ...shape });
  noGrad(() => {
    for (const [name, value] of model.stateDict()) {
      if (value.dtype !== 'float32') continue;
      const spread = rand([...value.shape]);
      if (/bn\d?\.|downsample\.1|norm/.test(name)) value.detach().copy_(spread.add(0.5));
      else value.detach().mul_(2);
    }
  });
  const info = { classes: ['left', 'right'], ...own, history: [] };
  saveModel(at(`${family}.safetensors`), model, info);
  model.dispose();
}

/** Two steps. */
async function trainCase(name: string, index: number): Promise<object> {
  const { student, teacher, weight, temperature, recipe } = cases[name] as Case;
  const { arch, sizes } = families[student];
  const batches = new Map<string, Tensor>();
  const rates: number[] = [];
  const losses: number[] = [];
  const record: LossTerm = {
    name: 'record',
    compute: ({ images, labels, targets, lr, step }) => {
      for (const [key, value] of Object.entries({ images, labels, targets })) {
        if (value) batches.set(`${step}.${key}`, value.clone().keep());
      }
      rates.push(lr);
      return undefined;
    },
  };
  const out = at(`run-${index}`);
  const { model, dataset } = await trainRun(
    {
      arch,
      dataset: 'folder',
      data: at('images'),
      imageSize: side,
      model: sizes,
      recipe: {
        epochs: 1,
        batchSize: 16,
        lr: 0.1,
        optimizer: 'sgd',
        momentum: 0.9,
        nesterov: false,
        weightDecay: 0.05,
        warmupEpochs: 0.5,
        clipGradNorm: null,
        seed: 4,
        ...recipe,
      },
      distill: { teacher: at(`${teacher}.safetensors`), weight, temperature },
    },
    { out, hooks: { extraLosses: [record], onStep: ({ loss }) => losses.push(loss) } },
  );
  const { mean, std } = dataset.info;
  const paths = { batches: at(`${index}.batches`), after: at(`${index}.after`) };
  saveSafetensors(paths.batches, batches);
  for (const tensor of batches.values()) tensor.dispose();
  const after = new Map(
    Array.from(model.stateDict(), ([key, value]) => [key, value.detach().clone().keep()]),
  );
  model.dispose();
  const start = loadSafetensors(keptWeightsPath(out, 0)).tensors;
  trained.set(name, { losses, start, after, expected: { losses: [], after: new Map() } });
  return {
    ...paths,
    weight,
    temperature,
    rates,
    own,
    data: { mean, std },
    labelSmoothing: recipe?.labelSmoothing ?? 0,
    student: [student, keptWeightsPath(out, 0)],
    teacher: [teacher, at(`${teacher}.safetensors`)],
  };
}

beforeAll(async () => {
  if (python === undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-teacher-parity-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  for (const family of ['vit', 'resnet'] as const) writeTeacher(family);
  const given: object[] = [];
  for (const [i, name] of Object.keys(cases).entries()) given.push(await trainCase(name, i));
  const peers = ['peers', 'torch-pruning'].map((name) =>
    fromHere(`../../../../benchmarks/${name}`),
  );
  const task = { peers, losses: at('losses.json'), cases: given };
  writeFileSync(at('cases.json'), JSON.stringify(task));
  execFileSync(python, [fromHere('teacher-peer.py'), at('cases.json')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const losses = JSON.parse(readFileSync(at('losses.json'), 'utf8')) as number[][];
  for (const [i, [name, ours]] of [...trained].entries()) {
    const after = loadSafetensors(at(`${i}.after`)).tensors;
    trained.set(name, { ...ours, expected: { losses: losses[i] ?? [], after } });
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});

/** How far two trainings moved apart, of how far they moved: all tensors as one vector, in float64. */
function apart({ start, after, expected }: Trained): number {
  let [distance, moved] = [0, 0];
  for (const [name, begun] of start) {
    if (begun.dtype !== 'float32') continue;
    const [a, b, c] = [begun, after.get(name), expected.after.get(name)].map((value) =>
      (value as Tensor).to('float64'),
    ) as [Tensor, Tensor, Tensor];
    distance += b.sub(c).norm().item() ** 2;
    moved += c.sub(a).norm().item() ** 2;
  }
  return Math.sqrt(distance / moved);
}

describe.skipIf(python === undefined)(
  `two steps under a teacher${unlessPython(python, needed)}`,
  () => {
    it.each(Object.keys(cases))("give PyTorch's losses and weights: %s", (name) => {
      const ours = trained.get(name) as Trained;
      expect(ours.losses).toHaveLength(2);
      // float32 against float64: a few roundings of 6e-8, and of the loss without the labels, which is a small difference of
      // larger numbers, 1e-6. Measured 9e-7; a teacher that is shown the pixels of the data is off by 7e-3 and more.
      ours.losses.forEach((loss, i) => {
        const expected = ours.expected.losses[i] as number;
        expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-5);
      });
      // Gradients are sums of some hundred such roundings. Measured 3e-6.
      expect(apart(ours)).toBeLessThan(3e-5);
    });
  },
);
