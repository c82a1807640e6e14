// A folder for the hub of an architecture of one's own: its module is named, and no folder of the machine that made it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { registerFamily } from '../../models/families.js';
import { createModel } from '../../models/registry.js';
import { ownFamily } from '../../models/testing/own-family.js';
import { cast, reshape } from '../../onnx/operators.js';
import { exportHubFolder } from './write-folder.js';

const folder = mkdtempSync(join(tmpdir(), 'own-hub-folder-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it.each([
  ['alone', '/home/me/secret/own family.js', "'own family.js'", 'own family.js'],
  ['windows', 'C:\\Users\\secret\\own.js', 'own.js', 'own.js'],
  ['address', 'file:///home/secret/own.js', 'own.js', 'own.js'],
  ['package', '@lab/secret/own', '@lab/secret/own', '@lab/secret/own'],
])('names the module of %s', async (name, module, typed, stored) => {
  registerFamily(
    ownFamily(name, {
      module,
      onnx: {
        build: (_config, layers, image) => {
          const { g } = layers;
          // All of it in float32, also where the file is one of 16 bits.
          const flat = cast(g, reshape(g, image, ['batch', 48]), 'float32');
          return layers.exact.linear('head', layers.exact.mlp('mlp', ['fc1', 'fc2'], flat));
        },
      },
    }),
  );
  const model = createModel(`${name}_small`, { imageSize: 4, numClasses: 2 }).eval();
  const info = { classes: ['a', 'b'], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], history: [] };
  const to = join(folder, name);
  await exportHubFolder(to, model, info, { repo: 'me/own', verify: false });
  model.dispose();
  const weights = readFileSync(join(to, 'model.safetensors'), 'latin1');
  expect(weights).toContain(`\\"module\\":\\"${stored}\\"`);
  expect(readFileSync(join(to, 'README.md'), 'utf8')).toContain(
    `npx mamba-prune predict hf:me/own picture.jpg --plugin ${typed}\n`,
  );
});
