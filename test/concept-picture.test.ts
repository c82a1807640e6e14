// The concept picture in docs/images is what its script draws, and its sizes are those of a real cut.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ImageModel, createModel, pruneModel } from 'mamba-prune';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const names = ['pruning.svg', 'pruning.zh-CN.svg'];
const folder = mkdtempSync(join(tmpdir(), 'mp-concept-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the concept picture', () => {
  it('is committed as the script draws it', () => {
    execFileSync(process.execPath, [join(root, 'scripts/concept-picture.mjs'), folder]);
    for (const name of names) {
      const committed = readFileSync(join(root, 'docs/images', name), 'utf8');
      expect(committed, `${name}: run node scripts/concept-picture.mjs`).toBe(
        readFileSync(join(folder, name), 'utf8'),
      );
    }
  });
});

describe('the sizes in the picture', () => {
  let dense: ImageModel;
  let pruned: ImageModel;
  beforeAll(() => {
    dense = createModel('mamba_small', { imageSize: 8, channels: 3, numClasses: 2, depth: 1 });
    // 70% of 384 channels; which ones they are does not matter here.
    const kept = Array.from({ length: Math.round(0.3 * 384) }, (_, channel) => channel);
    pruned = pruneModel(dense, new Map([['blocks.0.ssm', kept]]));
  });

  it.each(names)('are those of the parameters before and after a cut: %s', (name) => {
    const picture = readFileSync(join(root, 'docs/images', name), 'utf8');
    const sizes = [...picture.matchAll(/class="size">([^<]+)</g)].map(([, size]) => size);
    const parameters = ['in_proj', 'conv1d', 'x_proj', 'dt_proj', 'A_log', 'D', 'out_proj'];
    const expected = [dense, pruned].flatMap((model) => {
      const state = model.stateDict();
      return parameters.map((parameter) => {
        const name = `blocks.0.ssm.${parameter}`;
        const tensor = state.get(name) ?? state.get(`${name}.weight`);
        return tensor?.shape.join(' × ');
      });
    });
    expect(sizes).toEqual(expected);
  });

  it.each(names)('add up to the weights that it names: %s', (name) => {
    const picture = readFileSync(join(root, 'docs/images', name), 'utf8');
    for (const model of [dense, pruned]) {
      const state = [...model.stateDict()].filter(([key]) => key.startsWith('blocks.0.ssm.'));
      const weights = state.reduce(
        (sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      );
      expect(picture).toContain(weights.toLocaleString('en-US'));
    }
  });
});
