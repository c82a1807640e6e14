// Trains a mixer, prunes it by Refill and by RSST, times and exports what came of it, and writes a page about the runs.
// Only family.ts knows how a mixer is made. Run: npm run build && npm start
import { writeReport } from '@mamba-prune/report';
import { benchmarkModels, exportOnnx, pruneRun, trainRun } from 'mamba-prune';
import { benchModel } from 'mamba-prune/workflows';
import './index.js';

const runs = process.argv[2] ?? 'runs';
const recipe = { epochs: 8, batchSize: 32, lr: 3e-3 };
const dense = await trainRun(
  { arch: 'mixer_nano', dataset: 'stripes', model: {}, recipe },
  { out: `${runs}/mixer`, overwrite: true },
);
const cut = {
  model: `${runs}/mixer/model.safetensors`,
  dataset: 'stripes',
  rates: { mix: 0.5, mlp: 0.5 },
  ranking: 'global',
  normalize: 'mean',
  roundTo: 1,
  maxRate: 0.9,
  recipe: { ...recipe, epochs: 4, lr: 1e-3 },
} as const;
const refill = await pruneRun(
  { ...cut, method: 'refill', refill: { fillback: 0.2, budget: 'keep' } },
  { out: `${runs}/refill`, overwrite: true },
);
const rsst = await pruneRun(
  { ...cut, method: 'rsst', rsst: { units: 'doomed', epochs: 4 } },
  { out: `${runs}/rsst`, overwrite: true },
);

const models = Object.entries({ dense, refill, rsst }).map(([name, run]) =>
  benchModel(name, run.model),
);
const inputShape = models[0]?.inputShape ?? [];
for (const { model, speedup } of await benchmarkModels(models, { batches: [16], inputShape })) {
  console.log(`${model}: ${speedup.median.toFixed(2)} times as fast as the dense model`);
}
// The file is kept only if onnxruntime computes the same logits with it.
await exportOnnx(`${runs}/refill.onnx`, refill.model, refill.info);
await writeReport({ paths: [runs], images: 6 });
