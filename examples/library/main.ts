// Prunes a vision Mamba through the library, and shows that the smaller model computes what the large
// one does with the removed units masked out. Run: npm run build && node examples/dist/library/main.js
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { createModel, loadModel, maskModel, pruneOneShot, saveModel } from 'mamba-prune';

manualSeed(0);
const dense = createModel('mamba_tiny', { imageSize: 28, channels: 1, numClasses: 10 });
dense.eval();

const rates = { ssm: 0.7, mlp: 0.7 };
const { model: pruned, kept } = await pruneOneShot(dense, {
  importance: 'l2',
  rates,
  ranking: 'global',
});
pruned.eval();
console.log(`parameters ${dense.numParameters()} -> ${pruned.numParameters()}`);

const difference = scope(() =>
  noGrad(() => {
    const images = randn([4, 1, 28, 28]);
    maskModel(dense, kept); // sets the removed units of the dense model to zero, in place
    return pruned.forward(images).sub(dense.forward(images)).abs().amax().item();
  }),
);
console.log(`largest difference from the masked model ${difference.toExponential(1)}`);
if (difference > 1e-4) process.exitCode = 1;

const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-'));
const path = join(folder, 'pruned.safetensors');
const classes = Array.from({ length: 10 }, (_, digit) => `class ${digit}`);
saveModel(path, pruned, { classes, mean: [0.5], std: [0.5], history: [] });
const loaded = loadModel(path).model;
console.log(`${(statSync(path).size / 1e6).toFixed(2)} MB, ${loaded.numParameters()} parameters`);
rmSync(folder, { recursive: true });
