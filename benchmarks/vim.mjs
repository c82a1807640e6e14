// Vim on the CPU in float32: ours and plain PyTorch in turn, dense and with channels removed, with the same weights. The logits are
// compared first. Every figure comes from fresh processes; the order is reversed each round, so that a drifting machine favours
// nobody.
//
//   node benchmarks/vim.mjs [--arch vim_tiny] [--what infer] [--batches 1,32] [--rates 0,0.7] [--rounds 3] [--runs 3] [--threads 2]
//     [--image-size 224] [--python PATH]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed, noGrad, randn, saveSafetensors } from '@mamba-prune/libtorch';
import { listOf, numbersOf, oneOf, readFlags, share, whole } from '../scripts/script-flags.mjs';
import { roundsOfTwo } from './bench/rounds.mjs';
import { beside } from './bench/summary.mjs';
import { faster, inMs } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';
import { median } from './median.mjs';
import { narrowModel } from './narrow-model.mjs';
import { printedTable } from './printed-table.mjs';
import { measured, requirePython } from './processes.mjs';

const archs = ['vim_nano', 'vim_tiny', 'vim_small', 'vim_base'];
const { values: args } = readFlags({
  arch: { type: 'string', default: 'vim_tiny', value: oneOf(...archs) },
  what: { type: 'string', default: 'infer', value: oneOf('train', 'infer') },
  batches: { type: 'string', default: '1,32', value: listOf(whole()) },
  rates: { type: 'string', default: '0,0.7', value: listOf(share) },
  rounds: { type: 'string', default: '3', value: whole() },
  runs: { type: 'string', default: '3', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  'image-size': { type: 'string', default: '224', value: whole() },
  python: { type: 'string' },
});
const python = requirePython(args.python);
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vim-benchmark-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** @returns a file with weights, two images and our logits of them */
function writeCase(rate) {
  const side = Number(args['image-size']);
  manualSeed(0);
  const model = narrowModel(args.arch, { rate, imageSize: side }).eval();
  const input = randn([2, 3, side, side]);
  const weights = [...model.stateDict()].map(([name, tensor]) => [`weight.${name}`, tensor]);
  const file = join(folder, `${rate}.safetensors`);
  const logits = noGrad(() => model.forward(input));
  saveSafetensors(file, new Map([...weights, ['input', input], ['logits', logits]]));
  model.dispose();
  return file;
}

const rows = [];
const versions = new Set();
for (const rate of numbersOf(args.rates)) {
  const file = writeCase(rate);
  for (const batch of numbersOf(args.batches)) {
    const title = `${args.arch} ${args.what}, batch ${batch}, ${Math.round(rate * 100)}% removed`;
    const options = ['--what', args.what, '--arch', args.arch, '--batch', String(batch)];
    options.push('--threads', args.threads, '--runs', args.runs);
    const size = ['--image-size', args['image-size'], '--rate', String(rate)];
    const own = [path('measure.mjs'), ...options, ...size];
    const theirs = [path('peers/torch_vim.py'), 'time', ...options, '--case', file];
    const threads = { threads: args.threads };
    const rounds = roundsOfTwo(
      Number(args.rounds),
      () => measured('ours', process.execPath, own, threads),
      () => measured('PyTorch', python, theirs, threads),
    );
    const of = (who, key) => median(rounds.map((round) => round[who][key]));
    for (const { ours, torch } of rounds) versions.add(`ours on ${ours.ours}`).add(torch.peer);
    const times = rounds.map(({ ours, torch }) => ({ ours: ours.ms, torch: torch.ms }));
    rows.push({ title, of, torch: beside(times, 'torch') });
    console.error(
      `${title}: ${times.map(({ ours, torch }) => `${inMs(ours)} and ${inMs(torch)}`).join(', ')}`,
    );
  }
}

const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;
const columns = [
  { title: 'what', cell: ({ title }) => title, left: true },
  { title: 'ours', cell: ({ of }) => inMs(of('ours', 'ms')) },
  { title: 'plain PyTorch', cell: ({ torch }) => inMs(torch.ms) },
  { title: 'times as fast (low to high)', cell: ({ torch }) => faster(torch) },
  { title: 'memory of ours', cell: ({ of }) => mb(of('ours', 'peakBytes')) },
  { title: 'of PyTorch', cell: ({ of }) => mb(of('torch', 'peakBytes')) },
  { title: 'logits differ by', cell: ({ of }) => of('torch', 'difference').toExponential(1) },
];
console.log(
  `${factsOf({ threads: args.threads, more: [...versions, counted(args.rounds, 'round')] })}.\n`,
);
console.log(printedTable(columns, rows));
