// One measurement of ours, in a process of its own: prints one JSON line with the median milliseconds, the most memory
// that the process had, and what it has at the end. `--rate` leaves a model of so much fewer SSM channels and MLP neurons; a scan (`scan-forward`,
// `scan-both`) is of the sizes of mamba_small, and has no model.
// The peer's counterpart is peers/torch_mamba.py; both warm up twice and take the median of --runs.
//
//   node benchmarks/measure.mjs --what train --arch mamba_small --batch 32 --threads 2 --runs 5 [--rate 0.7]
//   node benchmarks/measure.mjs --what infer --precision int8 --batch 1
import {
  F,
  libtorchVersion,
  manualSeed,
  noGrad,
  optim,
  rand,
  randint,
  randn,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { prepareInference } from 'mamba-prune/internal';
import { oneOf, readFlags } from '../scripts/script-flags.mjs';
import { measurementFlags } from './bench/measurement-flags.mjs';
import { medianMs } from './bench/timed-runs.mjs';
import { narrowModel } from './narrow-model.mjs';

const { values: args } = readFlags({
  what: {
    type: 'string',
    default: 'train',
    value: oneOf('train', 'infer', 'scan-forward', 'scan-both'),
  },
  // Of inference.
  precision: { type: 'string', default: 'fp32', value: oneOf('fp32', 'bf16', 'int8') },
  ...measurementFlags,
});
const batch = Number(args.batch);
const imageSize = Number(args['image-size']);

const makeModel = () => narrowModel(args.arch, { rate: Number(args.rate), imageSize });

const steps = {
  train() {
    const model = makeModel();
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
    const [x, y] = [randn([batch, 3, imageSize, imageSize]), randint(0, 10, [batch])];
    return () => {
      const loss = F.crossEntropy(model.forward(x), y);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
    };
  },
  infer() {
    const model = makeModel().eval();
    const x = randn([batch, 3, imageSize, imageSize]);
    const prepared = prepareInference(model, 'cpu', args.precision);
    return () => prepared.run(() => noGrad(() => model.forward(x)));
  },
  'scan-forward': () => {
    const inputs = scanInputs();
    return () => noGrad(() => F.selectiveScan(...inputs));
  },
  'scan-both': () => {
    const inputs = scanInputs();
    for (const input of inputs) input.requiresGrad = true;
    const gradient = randn(inputs[0].shape);
    return () => {
      for (const input of inputs) input.grad = null;
      F.selectiveScan(...inputs).y.backward(gradient);
    };
  },
};

/** B=batch, L=64, D=384, N=16, as in mamba_small. */
function scanInputs() {
  return [
    randn([batch, 64, 384]),
    rand([batch, 64, 384]).mul(0.1),
    rand([384, 16]).mul(-16),
    randn([batch, 64, 16]),
    randn([batch, 64, 16]),
  ];
}

setNumThreads(Number(args.threads));
manualSeed(0);
const step = steps[args.what]();
const ms = await medianMs(Number(args.runs), () => scope(() => void step()));
const memory = {
  // In KiB.
  peakBytes: process.resourceUsage().maxRSS * 1024,
  restBytes: process.memoryUsage.rss(),
};
console.log(
  JSON.stringify({ ours: `libtorch ${libtorchVersion()}`, what: args.what, ms, ...memory }),
);
