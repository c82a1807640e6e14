// Vim on the CPU in float32: ours and plain PyTorch in turn, dense and with channels removed, with the same weights; prints the
// ratios. The logits are compared first. Every figure comes from fresh processes; the order is reversed each round, so that a
// drifting machine favours nobody.
//
//   node benchmarks/vim.mjs [--arch vim_tiny] [--what infer] [--batches 1,32] [--rates 0,0.7] [--rounds 3] [--runs 3] [--threads 2]
//     [--image-size 224] [--python /usr/bin/python3]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed, noGrad, randn, saveSafetensors } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { listOf, oneOf, readFlags, share, whole } from '../scripts/script-flags.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = readFlags({
  arch: { type: 'string', default: 'vim_tiny' },
  what: { type: 'string', default: 'infer', value: oneOf('train', 'infer') },
  batches: { type: 'string', default: '1,32', value: listOf(whole()) },
  rates: { type: 'string', default: '0,0.7', value: listOf(share) },
  rounds: { type: 'string', default: '3', value: whole() },
  runs: { type: 'string', default: '3', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  'image-size': { type: 'string', default: '224', value: whole() },
  python: { type: 'string', default: '/usr/bin/python3' },
});
const numbers = (list) => list.split(',').map(Number);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const env = { ...process.env, OMP_NUM_THREADS: args.threads, OPENBLAS_NUM_THREADS: args.threads };
const run = (command, argv) =>
  JSON.parse(execFileSync(command, argv, { encoding: 'utf8', env }).trim().split('\n').at(-1));
const folder = mkdtempSync(join(tmpdir(), 'vim-benchmark-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** @returns a file with weights, two images and our logits of them */
function writeCase(rate) {
  const side = Number(args['image-size']);
  const { config } = createModel(args.arch, { depth: 1 });
  const expand = Math.round(2 * config.dModel * (1 - rate)) / config.dModel;
  manualSeed(0);
  const model = createModel(args.arch, { expand, imageSize: side }).eval();
  const input = randn([2, 3, side, side]);
  const weights = [...model.stateDict()].map(([name, tensor]) => [`weight.${name}`, tensor]);
  const file = join(folder, `${rate}.safetensors`);
  const logits = noGrad(() => model.forward(input));
  saveSafetensors(file, new Map([...weights, ['input', input], ['logits', logits]]));
  return file;
}

for (const rate of numbers(args.rates)) {
  const file = writeCase(rate);
  for (const batch of numbers(args.batches)) {
    const options = ['--what', args.what, '--arch', args.arch, '--batch', String(batch)];
    options.push('--threads', args.threads, '--runs', args.runs);
    const measure = join(here, 'measure.mjs');
    const size = ['--image-size', args['image-size'], '--rate', String(rate)];
    const ours = () => run(process.execPath, [measure, ...options, ...size]);
    const script = join(here, 'peers', 'torch_vim.py');
    const peer = () => run(args.python, [script, 'time', ...options, '--case', file]);
    const rounds = [];
    for (let round = 0; round < Number(args.rounds); round++) {
      let a, b;
      if (round % 2 === 0) [a, b] = [ours(), peer()];
      else [b, a] = [peer(), ours()];
      rounds.push({ ours: a, peer: b, ratio: b.ms / a.ms });
    }
    const ratios = rounds.map(({ ratio }) => ratio);
    const of = (who, key) => median(rounds.map((round) => round[who][key]));
    const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;
    const title = `${args.arch} ${args.what}, batch ${batch}, ${rate * 100}% removed`;
    console.log(
      `${title.padEnd(44)} ${median(ratios).toFixed(1)}x (${Math.min(...ratios).toFixed(1)} to ${Math.max(...ratios).toFixed(1)})  ` +
        `ours ${of('ours', 'ms').toFixed(1)} ms, ${mb(of('ours', 'peakBytes'))}; PyTorch ${of('peer', 'ms').toFixed(1)} ms, ` +
        `${mb(of('peer', 'peakBytes'))}; logits differ by ${of('peer', 'difference').toExponential(1)}`,
    );
  }
}
