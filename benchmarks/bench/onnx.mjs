// One measurement of onnxruntime, in a process of its own: the model that measure.mjs makes, exported. Prints one JSON line with the
// median milliseconds. Its time includes the normalisation of the image, which is part of the graph, and softmax.
//
//   node benchmarks/bench/onnx.mjs --folder DIR --arch mamba_small --batch 32 --threads 2 --runs 5 [--rate 0.7] [--image-size 32]
//
// The export stays in the folder, and the next measurement of the same model takes it from there.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { exportOnnx } from 'mamba-prune';
import { benchOnnx } from 'mamba-prune/internal';
import { readFlags } from '../../scripts/script-flags.mjs';
import { narrowModel } from '../narrow-model.mjs';
import { measurementFlags } from './measurement-flags.mjs';
import { randomInfo } from './random-info.mjs';
import { medianMs } from './timed-runs.mjs';

const { values: args } = readFlags({
  folder: { type: 'string', required: 'the folder of the files' },
  ...measurementFlags,
});

const file = join(args.folder, `${args.arch}-${args.rate}-${args['image-size']}.onnx`);
if (!existsSync(file)) {
  manualSeed(0);
  const size = { rate: Number(args.rate), imageSize: Number(args['image-size']) };
  const model = narrowModel(args.arch, size);
  await exportOnnx(file, model, randomInfo(model.config), { verify: false });
  model.dispose();
}

const candidate = await benchOnnx('onnxruntime', file, Number(args.threads));
const step = await candidate.prepare(Number(args.batch), 0);
const ms = await medianMs(Number(args.runs), step);
await candidate.release();
const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json');
console.log(JSON.stringify({ peer: `onnxruntime ${version}`, what: 'infer', ms }));
