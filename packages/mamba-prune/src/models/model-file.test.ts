import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { F, FormatError, noGrad, randn, saveSafetensors, tensor } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { pruneOneShot } from '../pruning/oneshot.js';
import { type ModelInfo, checkModelFile, loadModel, saveModel } from './model-file.js';
import { createModel } from './registry.js';

const folder = mkdtempSync(join(tmpdir(), 'model-file-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info: ModelInfo = {
  dataset: 'made up',
  classes: ['a', 'b', 'c', 'd', 'e'],
  mean: [0.5, 0.5, 0.5],
  std: [0.2, 0.2, 0.2],
  history: [{ command: 'train', epochs: 3 }],
};

describe('model files', () => {
  it('bring a pruned model back, ready to evaluate, train on and prune again', async () => {
    const dense = createModel('mamba_tiny', {
      dModel: 16,
      depth: 2,
      dState: 4,
      numClasses: 5,
      imageSize: 12,
    });
    const options = { rates: { ssm: 0.5, mlp: 0.7 }, importance: 'l2', ranking: 'global' } as const;
    const { model } = await pruneOneShot(dense, options);
    model.eval();
    const path = join(folder, 'model.safetensors');
    saveModel(path, model, info);
    const loaded = loadModel(path);
    expect(loaded.info).toEqual(info);
    expect(loaded.model.config).toEqual(model.config);
    expect(loaded.model.training).toBe(false);
    const images = randn([2, 3, 12, 12]);
    const logits = noGrad(() => loaded.model.forward(images));
    expect(logits.equal(noGrad(() => model.forward(images)))).toBe(true);

    loaded.model.train();
    F.crossEntropy(loaded.model.forward(images), tensor([1, 2], { dtype: 'int64' })).backward();
    expect([...loaded.model.namedParameters()].every(([, p]) => p.grad !== null)).toBe(true);
    const again = (await pruneOneShot(loaded.model, options)).model;
    expect(again.numParameters()).toBeLessThan(model.numParameters());
  });

  it('are not written with information that they could not be read with', () => {
    const path = join(folder, 'incomplete.safetensors');
    const incomplete: unknown = { ...info, history: undefined };
    const model = createModel('mamba_nano', { depth: 1 });
    expect(() => {
      saveModel(path, model, incomplete as ModelInfo);
    }).toThrow(/not complete[^]*history/);
    expect(existsSync(path)).toBe(false);
  });

  it('are told from checkpoints of PyTorch, which export converts', () => {
    for (const [name, what] of [
      ['plain.pt', 'a file of torch.save'],
      ['legacy-module.pt', 'a file of torch.save (torch < 1.6)'],
    ] as const) {
      const path = fileURLToPath(new URL(`fixtures/checkpoint-${name}`, import.meta.url));
      for (const read of [loadModel, checkModelFile]) {
        expect(() => read(path)).toThrow(FormatError);
        expect(() => read(path)).toThrow(
          `${path}: got ${what}, expected a model file (.safetensors) written by mamba-prune. ` +
            `Convert it: mamba-prune export ${path} --out model.safetensors`,
        );
      }
    }
  });

  it('say what is wrong with a file that is none', () => {
    const path = join(folder, 'other.safetensors');
    saveSafetensors(path, new Map([['x', tensor([1])]]), {});
    expect(() => loadModel(path)).toThrow(
      `without the metadata key 'mamba_prune', expected a model written by mamba-prune. Convert it: mamba-prune export ${path} --out model.safetensors`,
    );
    saveSafetensors(path, new Map([['x', tensor([1])]]), { mamba_prune: '{"format": 7}' });
    expect(() => loadModel(path)).toThrow(/does not describe a model/);
    writeFileSync(path, 'nonsense');
    expect(() => loadModel(path)).toThrow(path);
  });
});
