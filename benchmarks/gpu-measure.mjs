// One measurement of ours on a GPU, in a process of its own: prints one JSON line. gpu.mjs calls it.
//
//   node benchmarks/gpu-measure.mjs --what train|infer [--arch mamba_small] [--batch 512] [--precision bf16|fp32]
//     [--rate 0.7] [--ranking layer|global] [--round-to 16] [--optimizer adamw|muon] [--augment standard|strong]
//     [--seconds 3] [--samples N] [--device cuda:0]
//
// `train` is a whole step: a batch of new random crops and flips made on the device from a data set as large as CIFAR (of 4,096
// images where they are larger than CIFAR's), forward, cross-entropy, backward, and the optimizer. `infer` is the forward pass.
// Each is one CUDA graph, replayed; on the CPU, where there are none, it runs as it is. Images have the size that the
// architecture is for: 224 px for vim_tiny. `--rate` prunes so much of the SSM channels, and of the MLP neurons where there are
// any, first; under `--ranking global` every block then has widths of its own.
import { randomFillSync } from 'node:crypto';
import {
  CudaGraph,
  F,
  cudaDeviceCount,
  cudaMemory,
  libtorchVersion,
  manualSeed,
  noGrad,
  optim,
  randn,
  scope,
  synchronize,
  zeros,
} from '@mamba-prune/libtorch';
import { meanCrossEntropy } from '@mamba-prune/libtorch/kernels';
import { createModel, pruneOneShot } from 'mamba-prune';
import {
  DeviceBatches,
  DeviceSplit,
  MemorySplit,
  augmentPreset,
  augmentPresetNames,
} from 'mamba-prune/data';
import { imageType, weightCopies } from 'mamba-prune/internal';
import { aboveZero, oneOf, readFlags, share, whole } from '../scripts/script-flags.mjs';
import { classNames } from './bench/random-info.mjs';
import { median } from './median.mjs';

const { values: args } = readFlags({
  what: { type: 'string', default: 'train', value: oneOf('train', 'infer') },
  arch: { type: 'string', default: 'mamba_small' },
  batch: { type: 'string', default: '512', value: whole() },
  precision: { type: 'string', default: 'bf16', value: oneOf('bf16', 'fp32') },
  rate: { type: 'string', default: '0', value: share },
  ranking: { type: 'string', default: 'layer', value: oneOf('layer', 'global') },
  'round-to': { type: 'string', default: '16', value: whole() },
  optimizer: { type: 'string', default: 'adamw', value: oneOf('adamw', 'muon') },
  augment: { type: 'string', default: 'standard', value: oneOf(...augmentPresetNames()) },
  seconds: { type: 'string', default: '3', value: aboveZero },
  samples: { type: 'string', value: whole() },
  device: { type: 'string', default: 'cuda:0' },
});
const { what, arch, precision, device } = args;
const batch = Number(args.batch);
const rate = Number(args.rate);
const onGpu = device !== 'cpu';
if (onGpu && cudaDeviceCount() === 0)
  throw new Error('there is no GPU that libtorch can use. --device cpu shows that it runs.');
// Libraries allocate and choose their kernels in the first steps, which must not be part of a capture.
const warmUp = onGpu ? 3 : 1;

async function makeModel() {
  const dense = createModel(arch);
  if (rate === 0) return dense.to(device);
  const kinds = new Set(dense.pruningGroups().map(({ kind }) => kind));
  const { model } = await pruneOneShot(dense, {
    rates: Object.fromEntries(
      ['ssm', 'mlp'].filter((kind) => kinds.has(kind)).map((kind) => [kind, rate]),
    ),
    importance: 'l2',
    ranking: args.ranking,
    roundTo: Number(args['round-to']),
  });
  return model.to(device);
}

/** Random pixels: what they show changes neither the work nor its time. */
function syntheticSplit({ channels, imageSize, numClasses }) {
  const samples = Math.max(batch, Number(args.samples ?? (imageSize > 32 ? 4096 : 50000)));
  const imageBytes = channels * imageSize * imageSize;
  const labels = Uint8Array.from({ length: samples }, (_, i) => i % numClasses);
  const pixels = new Uint8Array(samples * imageBytes);
  // No call takes 2 GiB or more.
  for (let at = 0; at < pixels.length; at += 2 ** 28)
    randomFillSync(pixels.subarray(at, at + 2 ** 28));
  const info = {
    name: 'synthetic',
    classes: classNames(numClasses),
    channels,
    height: imageSize,
    width: imageSize,
    mean: Array(channels).fill(0.5),
    std: Array(channels).fill(0.29),
  };
  return DeviceSplit.upload(new MemorySplit(pixels, labels, imageBytes), info, { device });
}

/** What the device is given in one step, and what the host counts after it. */
const works = {
  async train() {
    const model = (await makeModel()).train();
    const optimizer =
      args.optimizer === 'muon'
        ? new optim.Muon(optim.muonGroups(model, 0.05), { lr: 1e-3 })
        : new optim.AdamW(model.parameters(), { lr: 1e-3 });
    optimizer.makeCapturable(zeros([], { device }).keep());
    const copies = weightCopies(model, precision);
    const { imageSize } = model.config;
    const batches = new DeviceBatches(await syntheticSplit(model.config), {
      batchSize: batch,
      shuffle: true,
      dropLast: true,
      augment: augmentPreset(args.augment, { height: imageSize, width: imageSize }),
      dtype: imageType(precision),
    });
    const lastLoss = zeros([], { device }).keep();
    const launch = () => {
      scope(() => {
        optimizer.zeroGrad();
        const { images, labels } = batches.next();
        const loss = meanCrossEntropy(F.atLeastFloat32(model.forward(images)), labels);
        loss.backward();
        optimizer.launch();
        copies?.refresh();
        noGrad(() => lastLoss.copy_(loss));
      });
    };
    return {
      launch,
      count: () => optimizer.count(),
      // The gradients would be held beside those that the graph has of its own.
      beforeCapture: () => optimizer.zeroGrad(),
      extra: () => ({ loss: lastLoss.item() }),
    };
  },
  async infer() {
    const model = (await makeModel()).eval();
    const copies = weightCopies(model, precision, { fixed: true });
    const { channels, imageSize } = model.config;
    const shape = [batch, channels, imageSize, imageSize];
    const images = randn(shape, { device }).to(imageType(precision));
    const launch = () => {
      scope(() => {
        noGrad(() => model.forward(images));
      });
    };
    // The graph reads the copies: whoever holds the work holds them.
    return { launch, copies, count() {}, beforeCapture() {}, extra: () => ({}) };
  },
};

manualSeed(0);
const work = await works[what]();
let step = work.launch;

/** Milliseconds of a step, of so many given to the device one after another. */
function timeGroup(steps) {
  synchronize(device);
  const started = performance.now();
  for (let i = 0; i < steps; i++) {
    step();
    work.count();
  }
  synchronize(device);
  return (performance.now() - started) / steps;
}

timeGroup(warmUp);
const eagerMs = onGpu ? timeGroup(3) : undefined;
let graph = 'none on the CPU';
if (onGpu) {
  work.beforeCapture();
  const captured = CudaGraph.capture(device, work.launch);
  step = () => captured.replay();
  graph = 'replayed';
  timeGroup(2);
}
// A group of about a quarter of a second: waiting for the device between groups costs it nothing then.
const seconds = Number(args.seconds);
const group = onGpu ? Math.max(1, Math.ceil(250 / timeGroup(3))) : 1;
const times = [];
for (
  const started = performance.now();
  times.length < 3 || performance.now() - started < seconds * 1e3;
)
  times.push(timeGroup(group));
const ms = median(times);
console.log(
  JSON.stringify({
    ours: `libtorch ${libtorchVersion()}`,
    what,
    arch,
    batch,
    precision,
    ms,
    imagesPerSecond: (batch / ms) * 1e3,
    fastestMs: Math.min(...times),
    slowestMs: Math.max(...times),
    groups: times.length,
    group,
    eagerMs,
    graph,
    // What libtorch has taken from the GPU; it gives nothing back, so this is the most it needed.
    ...(onGpu && { peakBytes: cudaMemory(device).reserved }),
    ...(rate > 0 && { rate }),
    ...work.extra(),
  }),
);
// Tensors that live as long as the process need not be freed one by one.
process.exit(0);
