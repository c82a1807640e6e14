import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random, Stage } from '../data/random.js';
import { registerFamily } from './families.js';
import { type ModelInfo, saveModel } from './model-file.js';
import type { ModelOptions } from './model-options.js';
import { createModel } from './registry.js';
import { ownFamily } from './testing/own-family.js';
import { widthCosts } from './width-costs.js';

const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-costs-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

// No macs and no shapes: models are made to look at.
registerFamily(ownFamily('counted_by_making'));

const cases: [arch: string, options: ModelOptions][] = [
  ['mamba_nano', { depth: 2, imageSize: 16 }],
  ['mamba_nano', { depth: 1, scan: 'bi', dConv: 3, numClasses: 7 }],
  ['vit_tiny', { depth: 2, dModel: 24, heads: 4 }],
  ['resnet20', { blocks: [2, 1, 2], baseWidth: 4 }],
  // Sides that halve with rounding: 30, 15, 8, 4.
  ['resnet18', { imageSize: 30, stem: 'imagenet', baseWidth: 4, blocks: [1, 2] }],
  ['resnet50', { baseWidth: 2, blocks: [2, 1, 1], numClasses: 7 }],
  ['counted_by_making_small', {}],
];

describe('what models of other widths cost', () => {
  it.each(cases)('is counted as such a %s with %j has it', (arch, options) => {
    const model = createModel(arch, options);
    const costs = widthCosts(model);
    const random = new Random();
    random.seed(3, Stage.split, 0, 0);
    for (let trial = 0; trial < 5; trial++) {
      const widths = Object.fromEntries(
        model
          .pruningGroups()
          .map(({ name, size }) => [name, Math.floor(random.between(1, size + 1))]),
      );
      const other = model.withWidths(widths);
      const info: ModelInfo = {
        classes: Array.from({ length: model.config.numClasses }, (_, i) => `class ${i} é`),
        mean: Array.from({ length: model.config.channels }, () => 0.5),
        std: Array.from({ length: model.config.channels }, () => 0.25),
        history: [{ step: 'prune', kept: { a: `0-${trial}` } }],
      };
      const path = join(folder, 'model.safetensors');
      saveModel(path, other, info);
      expect(costs.macs(widths)).toBe(other.macs().reduce((sum, { macs }) => sum + macs, 0));
      expect(costs.parameters(widths)).toBe(other.numParameters());
      expect(costs.fileBytes(widths, info)).toBe(statSync(path).size);
      other.dispose();
    }
    // A group that is not named has the model's width.
    expect(costs.parameters({})).toBe(model.numParameters());
    model.dispose();
  });
});
