// Training with one GPU and with several: images/s and how much of the added GPUs arrives. Prints one Markdown table.
//
//   node benchmarks/gpu-workers.mjs [--gpus 1,2] [--batches 128,512,1024] [--arch mamba_small] [--precision bf16]
//     [--samples 32768] [--epochs 3] [--limit 60] [--device cuda]
//
// --batches: images of each GPU in a step. --gpus: default 1 and all that there are. --limit: seconds for one measurement.
// What runs is `train` itself, on random images in the memory of each GPU, with random crops and flips, a worker a
// GPU; the first epoch, in which kernels are compiled and the step is captured, is left out.
import { execFileSync, fork } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cudaDeviceCount, distributed, libtorchVersion, manualSeed } from '@mamba-prune/libtorch';
import { RunFolder, createModel, trainModel } from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';
import { aboveZero, listOf, numbersOf, oneOf, readFlags, whole } from '../scripts/script-flags.mjs';
import { classNames } from './bench/random-info.mjs';
import { median } from './median.mjs';
import { errorLine } from './processes.mjs';

const { values: args } = readFlags({
  gpus: { type: 'string', value: listOf(whole()) },
  batches: { type: 'string', default: '128,512,1024', value: listOf(whole()) },
  arch: { type: 'string', default: 'mamba_small' },
  precision: { type: 'string', default: 'bf16' },
  samples: { type: 'string', default: '32768', value: whole() },
  epochs: { type: 'string', default: '3', value: whole() },
  limit: { type: 'string', default: '60', value: aboveZero },
  device: { type: 'string', default: 'cuda', value: oneOf('cuda', 'cpu') },
  // Of a worker, which this script starts: its step's images of all GPUs, and the run's folder.
  worker: { type: 'string', value: whole() },
  path: { type: 'string' },
});
const self = fileURLToPath(import.meta.url);

/** Random pixels: what they show changes neither the work nor its time. */
function synthetic(count) {
  const bytes = 3 * 32 * 32;
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  return new MemorySplit(randomFillSync(new Uint8Array(count * bytes)), labels, bytes);
}

async function work() {
  const config = distributed.workerConfigFromEnvironment();
  const rank = config?.rank ?? 0;
  const device = args.device === 'cpu' ? 'cpu' : `cuda:${rank}`;
  const group =
    config &&
    (await distributed.ProcessGroup.open(config, {
      device,
      onListening: (port) => process.send({ port }),
    }));
  manualSeed(1);
  const model = createModel(args.arch).to(device);
  const info = {
    name: 'synthetic',
    classes: classNames(10),
    ...{ channels: 3, height: 32, width: 32 },
    ...{ mean: [0.5, 0.5, 0.5], std: [0.29, 0.29, 0.29] },
  };
  const dataset = { info, train: synthetic(Number(args.samples)), test: synthetic(256) };
  const options = {
    epochs: Number(args.epochs),
    batchSize: Number(args.worker),
    augment: 'standard',
    precision: args.precision,
    evalEvery: Number(args.epochs),
  };
  const description = { command: 'benchmark', args: [], seed: 0 };
  const run =
    rank === 0
      ? RunFolder.create(args.path, description)
      : RunFolder.follow(args.path, description);
  await trainModel(model, dataset, options, run, {}, group ? { group } : {});
  group?.close();
  if (rank === 0) process.send({ epochs: run.readMetrics() });
  run.release();
  process.disconnect();
}

/** @returns images/s of each epoch but the first, and how the steps were given; or `problem` */
function measure(gpus, batch, path) {
  return new Promise((resolve) => {
    const children = [];
    let errors = '';
    let epochs;
    let problem;
    const end = () => children.forEach((child) => child.kill('SIGKILL'));
    const timer = setTimeout(
      () => {
        problem = `cut off after ${args.limit} s`;
        end();
      },
      Number(args.limit) * 1e3,
    );
    const start = (rank, port) => {
      const argv = [...process.argv.slice(2), '--worker', String(gpus * batch), '--path', path];
      const worker = { RANK: String(rank), WORLD_SIZE: String(gpus), LOCAL_RANK: String(rank) };
      const meeting = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port) };
      const child = fork(self, argv, {
        env: { ...process.env, ...(gpus > 1 && { ...worker, ...meeting }) },
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
      children.push(child);
      child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
      child.on('message', (message) => {
        epochs ??= message.epochs;
        if (message.port === undefined) return;
        for (let other = 1; other < gpus; other++) start(other, message.port);
      });
      child.on('close', (code) => {
        if (code !== 0) problem ??= errorLine(errors, self) ?? `ended with code ${code}`;
        if (children.some(({ exitCode, signalCode }) => exitCode === null && signalCode === null))
          return;
        clearTimeout(timer);
        if (problem !== undefined || epochs === undefined)
          resolve({ problem: problem ?? 'no result' });
        else
          resolve({
            rates: epochs.slice(1).map((line) => line.imagesPerSecond),
            graph: epochs.at(-1).graph,
          });
      });
    };
    start(0, 0);
  });
}

function gpuName() {
  try {
    const argv = ['--query-gpu=name', '--format=csv,noheader'];
    return execFileSync('nvidia-smi', argv, { encoding: 'utf8' }).split('\n')[0];
  } catch {
    return 'GPU not known';
  }
}

async function compare() {
  if (args.device !== 'cpu' && cudaDeviceCount() === 0)
    throw new Error('there is no GPU that libtorch can use. --device cpu shows that it runs.');
  const counts = args.gpus
    ? numbersOf(args.gpus)
    : [...new Set([1, Math.max(1, cudaDeviceCount())])];
  const folder = mkdtempSync(join(tmpdir(), 'gpu-workers-'));
  const date = new Date().toISOString().slice(0, 10);
  console.log(
    `${args.arch}, ${args.precision}: ${gpuName()}, libtorch ${libtorchVersion()}, ${date}\n`,
  );
  console.log('| images per GPU | GPUs | images/s | each epoch | of linear | step |');
  console.log('| ---: | ---: | ---: | --- | ---: | --- |');
  for (const batch of numbersOf(args.batches)) {
    let one;
    for (const gpus of counts) {
      const result = await measure(gpus, batch, join(folder, `${gpus}-${batch}`));
      console.log(`| ${cells(gpus, batch, result, one).join(' | ')} |`);
      if (gpus === 1) one = result.rates && median(result.rates);
    }
  }
  rmSync(folder, { recursive: true, force: true });
}

function cells(gpus, batch, { rates, graph, problem }, one) {
  if (problem !== undefined)
    return [batch, gpus, '', '', '', problem.replaceAll('|', '/').slice(0, 160)];
  const text = (rate) => Math.round(rate).toLocaleString('en');
  const rate = median(rates);
  const share = one === undefined ? '' : `${((100 * rate) / (gpus * one)).toFixed(0)}%`;
  return [batch, gpus, text(rate), rates.map(text).join(' '), share, graph ?? ''];
}

await (args.worker === undefined ? compare() : work());
