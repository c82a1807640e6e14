// The most memory that training and inference take, ours and plain PyTorch, dense and pruned: one fresh process for each.
// On the CPU it is the peak of the process's resident memory, what Node.js or Python and libtorch take among it; the rows
// `program alone` are a forward pass of the smallest model. On a GPU it is what libtorch has reserved there.
//
//   node benchmarks/memory.mjs [--arch mamba_small] [--rates 0,0.7,0.9] [--train 32] [--infer 1,32] [--threads 2]
//     [--device cuda] [--python /usr/bin/python3] [--json]
//
// On a GPU ours computes in bfloat16, and the peer under autocast, unless --precision fp32 says otherwise.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listOf, readFlags, share, whole } from '../scripts/script-flags.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = readFlags({
  arch: { type: 'string', default: 'mamba_small' },
  rates: { type: 'string', default: '0,0.7,0.9', value: listOf(share) },
  train: { type: 'string', default: '32', value: listOf(whole(), { orNone: true }) },
  infer: { type: 'string', default: '1,32', value: listOf(whole(), { orNone: true }) },
  threads: { type: 'string', default: '2', value: whole() },
  device: { type: 'string', default: 'cpu' },
  precision: { type: 'string', default: 'bf16' },
  python: { type: 'string' },
  json: { type: 'boolean', default: false },
});
const onGpu = args.device !== 'cpu';
const python = args.python ?? (onGpu ? 'python3' : '/usr/bin/python3');

const numbers = (text) => (text === '' ? [] : text.split(',').map(Number));
const rates = numbers(args.rates);
const batches = { train: numbers(args.train), infer: numbers(args.infer) };

function measured(command, argv) {
  const output = execFileSync(command, argv, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: args.threads, OPENBLAS_NUM_THREADS: args.threads },
  });
  return JSON.parse(output.trim().split('\n').at(-1)).peakBytes;
}

/** Steps after two of warming up: every buffer is there after the first, and a plain loop takes long. */
const runs = '1';

function ours({ what, batch, rate, arch = args.arch }) {
  const common = ['--what', what, '--arch', arch, '--batch', String(batch), '--rate', String(rate)];
  // Of a data set the GPU would have as much as is uploaded, which the peer has not.
  const own = onGpu
    ? [
        '--device',
        gpu,
        '--precision',
        args.precision,
        '--samples',
        String(batch),
        '--round-to',
        '1',
      ]
    : ['--threads', args.threads, '--runs', runs];
  const script = join(here, onGpu ? 'gpu-measure.mjs' : 'measure.mjs');
  return measured(process.execPath, [script, ...common, ...own]);
}

const gpu = args.device === 'cuda' ? 'cuda:0' : args.device;

function peer({ what, batch, rate, arch = args.arch }) {
  const common = ['--what', what, '--arch', arch, '--batch', String(batch), '--rate', String(rate)];
  const own = ['--threads', args.threads, '--runs', runs, '--device', args.device];
  const amp = onGpu && args.precision !== 'fp32' ? ['--amp'] : [];
  const script = join(here, 'peers', 'torch_mamba.py');
  return measured(python, [script, 'time', ...common, ...own, ...amp]);
}

let hasPeer = true;
try {
  execFileSync(python, ['-c', 'import torch'], { stdio: 'ignore' });
} catch {
  hasPeer = false;
  console.error(
    `memory: ${python} has no torch: only ours is measured. Give --python for the peer.`,
  );
}

const cases = [
  // A forward pass of one image through the smallest model that both have.
  ...(onGpu
    ? []
    : [{ name: 'program alone', what: 'infer', batch: 1, rate: 0.9, arch: 'mamba_tiny' }]),
  ...['train', 'infer'].flatMap((what) =>
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
  const row = { name: wanted.name, ours: ours(wanted), ...(hasPeer && { peer: peer(wanted) }) };
  rows.push(row);
  console.error(`  ${row.name}: ${mib(row.ours)}, ${mib(row.peer)}`);
}
const part = ({ ours: own, peer: other }) =>
  other === undefined ? '' : `${Math.round((100 * own) / other)}%`;
if (args.json) {
  console.log(JSON.stringify({ cpu: cpus()[0]?.model, ...args, rows }, null, 2));
} else {
  const table = [
    [
      `${args.arch}, ${onGpu ? `${gpu}, ${args.precision}` : `${args.threads} threads`}`,
      'ours',
      'PyTorch',
      'ours / PyTorch',
    ],
    ...rows.map((row) => [row.name, mib(row.ours), mib(row.peer), part(row)]),
  ];
  const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)));
  const line = (row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  console.log(line(table[0]));
  console.log(
    `| ${widths.map((n, i) => (i === 0 ? '-'.repeat(n) : `${'-'.repeat(n - 1)}:`)).join(' | ')} |`,
  );
  for (const row of table.slice(1)) console.log(line(row));
}
