// Inference on the CPU in float32, bf16 and int8, beside onnxruntime in float32 and in its two kinds of int8, all in turn in one
// process, round by round, in an order that is reversed each time. Prints medians and the ratios of the rounds: over our own
// float32, and of onnxruntime's best to each of ours. Precisions that this processor lacks are left out, with the reason.
// (onnxruntime has no product in bfloat16 on a CPU.)
//
//   node benchmarks/cpu-precision.mjs [--models mamba_small,vim_tiny@224,vit_tiny@224/16] [--batches 1,32] [--rounds 9] [--threads 2]
//     [--no-onnx]
//
// A model is an architecture, with random weights, and the sides of images and patches; or a file.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed, noGrad, scope, setNumThreads } from '@mamba-prune/libtorch';
import { productKernels, productsMissing } from '@mamba-prune/libtorch/kernels';
import { benchmarkModels, createModel, loadModel, saveModel } from 'mamba-prune';
import { benchOnnx, prepareInference } from 'mamba-prune/internal';
import { listOf, numbersOf, readFlags, whole, wordsOf } from '../scripts/script-flags.mjs';
import { randomInfo } from './bench/random-info.mjs';
import { inMs } from './bench/table.mjs';
import { counted } from './facts.mjs';
import { printedTable } from './printed-table.mjs';

const model = {
  accepts: (text) => existsSync(text) || /^\w+(?:@\d+(?:\/\d+)?)?$/.test(text),
  many: 'architectures such as vit_tiny, vit_tiny@224 or vit_tiny@224/16, or files',
};
const { values: args } = readFlags({
  models: {
    type: 'string',
    default: 'mamba_small,vim_tiny@224,vit_tiny@224/16',
    value: listOf(model),
  },
  batches: { type: 'string', default: '1,32', value: listOf(whole()) },
  rounds: { type: 'string', default: '9', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  'no-onnx': { type: 'boolean', default: false },
});
const threads = Number(args.threads);
setNumThreads(threads);
const folder = mkdtempSync(join(tmpdir(), 'precision-benchmark-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const cli = join(
  dirname(fileURLToPath(import.meta.url)),
  '../packages/mamba-prune/dist/cli/main.js',
);

/** @returns the file of a model, written if it is an architecture */
function fileOf(name) {
  if (existsSync(name)) return name;
  const [arch, sides = ''] = name.split('@');
  const [side, patch] = sides.split('/');
  manualSeed(0);
  const model = createModel(arch, {
    ...(side && { imageSize: Number(side) }),
    ...(patch && { patchSize: Number(patch) }),
  });
  const file = join(folder, `${arch}.safetensors`);
  saveModel(file, model, randomInfo(model.config));
  model.dispose();
  return file;
}

/** A model that computes in a precision from now on. */
function ours(file, precision) {
  const { model } = loadModel(file);
  model.eval();
  const prepared = prepareInference(model, 'cpu', precision);
  const { channels, imageSize } = model.config;
  return {
    name: `ours ${precision}`,
    forward: (images) => scope(() => noGrad(() => prepared.run(() => model.forward(images)))),
    inputShape: [channels, imageSize, imageSize],
  };
}

async function onnxruntime(file, quantize) {
  const path = join(folder, `${quantize ?? 'float32'}.onnx`);
  const more = quantize ? ['--quantize', quantize] : [];
  const argv = [cli, 'export', file, '--out', path, '--overwrite', '--no-verify', ...more];
  execFileSync(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
  return benchOnnx(`onnxruntime ${quantize ?? 'float32'}`, path, threads);
}

console.log(
  `${cpus()[0]?.model.trim()}; ${counted(threads, 'thread')}; ${counted(args.rounds, 'round')}; Node.js ${process.versions.node}.`,
);
const precisions = ['fp32'];
for (const precision of ['bf16', 'int8']) {
  const missing = productsMissing(precision);
  if (missing === undefined) {
    precisions.push(precision);
    console.log(`${precision}: ${productKernels(precision)}`);
  } else console.log(`${precision}: left out, ${missing}`);
}

for (const name of wordsOf(args.models)) {
  const file = fileOf(name);
  const models = precisions.map((precision) => ours(file, precision));
  if (!args['no-onnx']) {
    for (const quantize of [undefined, 'int8', 'int8-dynamic']) {
      models.push(await onnxruntime(file, quantize));
    }
  }
  for (const batch of numbersOf(args.batches)) {
    const results = await benchmarkModels(models, {
      batches: [batch],
      inputShape: models[0].inputShape,
      rounds: Number(args.rounds),
      minRoundMs: 20,
    });
    const peers = results.filter(({ model }) => model.startsWith('onnxruntime'));
    const best = Math.min(...peers.map(({ medianMs }) => medianMs));
    const columns = [
      { title: `${name}, batch ${batch}`, cell: ({ model }) => model, left: true },
      { title: 'time', cell: ({ medianMs }) => inMs(medianMs) },
      {
        title: 'times as fast as our float32 (quartiles)',
        cell: ({ speedup: { median, q1, q3 } }) =>
          `${median.toFixed(2)}x (${q1.toFixed(2)} to ${q3.toFixed(2)})`,
      },
      {
        title: "as onnxruntime's best",
        cell: ({ model, medianMs }) =>
          model.startsWith('ours') && peers.length > 0 ? `${(best / medianMs).toFixed(2)}x` : '',
      },
    ];
    console.log(`\n${printedTable(columns, results)}`);
  }
  for (const model of models) await model.release?.();
}
