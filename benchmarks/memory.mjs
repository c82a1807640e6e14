// The most memory that training and inference take, ours and plain PyTorch, dense and pruned: one fresh process for each.
// On the CPU it is the peak of the process's resident memory, what Node.js or Python and libtorch take among it; the rows
// `program alone` are a forward pass of the smallest model. On a GPU it is what libtorch has reserved there.
//
//   node benchmarks/memory.mjs [--arch mamba_small] [--rates 0,0.7,0.9] [--train 32] [--infer 1,32] [--threads 2]
//     [--device cuda] [--precision bf16] [--python PATH] [--json]
//
// On a GPU ours computes in bfloat16, and the peer under autocast, unless --precision fp32 says otherwise. On a CPU --precision
// bf16 and int8 are of inference alone, and of ours, which is then measured in float32 beside it.
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  share,
  whole,
} from '../scripts/script-flags.mjs';
import { printedTable } from './printed-table.mjs';
import { findPython, measured } from './processes.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: args } = readFlags({
  arch: { type: 'string', default: 'mamba_small' },
  rates: { type: 'string', default: '0,0.7,0.9', value: listOf(share) },
  train: { type: 'string', default: '32', value: listOf(whole(), { orNone: true }) },
  infer: { type: 'string', default: '1,32', value: listOf(whole(), { orNone: true }) },
  threads: { type: 'string', default: '2', value: whole() },
  device: { type: 'string', default: 'cpu' },
  precision: { type: 'string', value: oneOf('bf16', 'fp32', 'int8') },
  python: { type: 'string' },
  json: { type: 'boolean', default: false },
});
const onGpu = args.device !== 'cpu';
if (args.precision === 'int8' && onGpu) refuse('--precision int8 is of the CPU');
const precision = args.precision ?? (onGpu ? 'bf16' : 'fp32');
/** In fewer bits on the CPU, where the peer has no counterpart. */
const inFewerBits = !onGpu && precision !== 'fp32';

const rates = numbersOf(args.rates);
const batches = { train: numbersOf(args.train), infer: numbersOf(args.infer) };

/** Steps after two of warming up: every buffer is there after the first, and a plain loop takes long. */
const runs = '1';

const gpu = args.device === 'cuda' ? 'cuda:0' : args.device;

const memoryOf = (who, command, argv) => measured(who, command, argv, { threads: args.threads });

const commonFlags = ({ what, batch, rate, arch = args.arch }) =>
  ['--what', what, '--arch', arch, '--batch', batch, '--rate', rate].map(String);

/** @returns `peakBytes` and, on the CPU, `restBytes`, what the process has after its last pass */
function ours(one, inPrecision = precision) {
  // Of a data set the GPU would have as much as is uploaded, which the peer has not.
  const samples = ['--samples', String(one.batch), '--round-to', '1'];
  const own = onGpu
    ? ['--device', gpu, '--precision', inPrecision, ...samples]
    : ['--threads', args.threads, '--runs', runs, '--precision', inPrecision];
  const script = path(onGpu ? 'gpu-measure.mjs' : 'measure.mjs');
  return memoryOf('ours', process.execPath, [script, ...commonFlags(one), ...own]);
}

// On a GPU server the one on PATH has torch.
const { python, missing, remedy } = inFewerBits
  ? {}
  : findPython(args.python ?? (onGpu ? 'python3' : undefined));
if (python === undefined && !inFewerBits)
  console.error(`memory: ${missing} Only ours is measured. ${remedy}`);

function peer(one) {
  const own = ['--threads', args.threads, '--runs', runs, '--device', args.device];
  const amp = precision === 'fp32' ? [] : ['--amp'];
  const argv = [path('peers/torch_mamba.py'), 'time', ...commonFlags(one), ...own, ...amp];
  return memoryOf('PyTorch', python, argv).peakBytes;
}

const cases = [
  // A forward pass of one image through the smallest model that both have.
  ...(onGpu
    ? []
    : [{ name: 'program alone', what: 'infer', batch: 1, rate: 0.9, arch: 'mamba_tiny' }]),
  ...(inFewerBits ? ['infer'] : ['train', 'infer']).flatMap((what) =>
    batches[what].flatMap((batch) =>
      rates.map((rate) => ({
        name: `${what === 'train' ? 'training step' : 'inference'}, batch ${batch}, ${rate === 0 ? 'dense' : `${Math.round(100 * rate)}% removed`}`,
        what,
        batch,
        rate,
      })),
    ),
  ),
];

const mib = (bytes) => (bytes === undefined ? '' : `${Math.round(bytes / 2 ** 20)} MiB`);
const rows = [];
for (const wanted of cases) {
  const { peakBytes, restBytes } = ours(wanted);
  const row = {
    name: wanted.name,
    ours: peakBytes,
    ...(restBytes !== undefined && { rest: restBytes }),
    ...(inFewerBits && { inFloat32: ours(wanted, 'fp32') }),
    ...(python !== undefined && { peer: peer(wanted) }),
  };
  rows.push(row);
  const known = [row.ours, row.peer].filter((bytes) => bytes !== undefined);
  console.error(`  ${row.name}: ${known.map(mib).join(', ')}`);
}
if (args.json) {
  console.log(JSON.stringify({ cpu: cpus()[0]?.model, ...args, precision, rows }, null, 2));
} else {
  const where = onGpu ? `${gpu}, ${precision}` : `${args.threads} threads`;
  const name = { title: `${args.arch}, ${where}`, cell: (row) => row.name, left: true };
  const besidePeer = [
    { title: 'ours', cell: (row) => mib(row.ours) },
    { title: 'PyTorch', cell: (row) => mib(row.peer) },
    {
      title: 'ours / PyTorch',
      cell: (row) => (row.peer === undefined ? '' : `${Math.round((100 * row.ours) / row.peer)}%`),
    },
  ];
  const besideFloat32 = [
    { title: `${precision}, most`, cell: (row) => mib(row.ours) },
    { title: 'at the end', cell: (row) => mib(row.rest) },
    { title: 'float32, most', cell: (row) => mib(row.inFloat32.peakBytes) },
    { title: 'at the end', cell: (row) => mib(row.inFloat32.restBytes) },
  ];
  console.log(printedTable([name, ...(inFewerBits ? besideFloat32 : besidePeer)], rows));
}
