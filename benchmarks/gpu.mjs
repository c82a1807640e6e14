// Ours and the PyTorch peers on one GPU, one after another, each in a process of its own: prints one Markdown table.
// What fails or takes too long is said in its row; the rest goes on.
//
//   node benchmarks/gpu.mjs [--only ours,fast,loop] [--quick] [--limit 300] [--seconds 3] [--arch mamba_small]
//     [--train 128,512,2048] [--infer 128,512,4096] [--pruned 512,4096] [--peer-batches 512,128]
//     [--rate 0.7] [--what train,infer] [--python python3] [--peers DIR] [--device cuda:0]
//
// --only: which rows; --what: of what. --train, --infer, --pruned: batch sizes of ours, and of ours without --rate of its channels
// and neurons. --limit: seconds for one measurement. --arch: a mamba_, or a vim_ at 224 px: `--arch vim_tiny --train 128,256
// --infer 128,512 --pruned 128,512 --peer-batches 128`.
// --quick leaves out the peers that take minutes: plain loops. --peers: folder of the Python scripts.
import { execFileSync, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  aboveZero,
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  share,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { printedTable } from './printed-table.mjs';
import { errorLine } from './processes.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = readFlags({
  only: { type: 'string', default: 'ours,fast,loop', value: listOf(oneOf('ours', 'fast', 'loop')) },
  what: { type: 'string', default: 'train,infer', value: listOf(oneOf('train', 'infer')) },
  train: { type: 'string', default: '128,512,2048', value: listOf(whole()) },
  infer: { type: 'string', default: '128,512,4096', value: listOf(whole()) },
  pruned: { type: 'string', default: '512,4096', value: listOf(whole()) },
  rate: { type: 'string', default: '0.7', value: share },
  'peer-batches': { type: 'string', default: '512,128', value: listOf(whole()) },
  seconds: { type: 'string', default: '3', value: aboveZero },
  limit: { type: 'string', default: '300', value: aboveZero },
  quick: { type: 'boolean', default: false },
  python: { type: 'string', default: 'python3' },
  peers: { type: 'string', default: join(here, 'peers') },
  device: { type: 'string', default: 'cuda:0' },
  arch: { type: 'string', default: 'mamba_small' },
});
const { arch, device } = args;
const parts = wordsOf(args.only);
const batches = numbersOf(args['peer-batches']);
const limitMs = Number(args.limit) * 1e3;

const ours = (what, batch, rate = 0) => ({
  what: rate > 0 ? `${what}, ${Math.round(rate * 100)}% removed` : what,
  batch,
  name: 'ours',
  command: process.execPath,
  argv: [
    join(here, 'gpu-measure.mjs'),
    ...['--what', what, '--arch', arch, '--batch', batch, '--rate', rate],
    ...['--seconds', args.seconds, '--device', device],
  ].map(String),
});
const peer = (what, batch, name, script, ...options) => ({
  what,
  batch,
  name,
  command: args.python,
  argv: [
    join(args.peers, script),
    ...['time', '--what', what, '--arch', arch, '--batch', batch, '--amp', ...options],
    ...['--device', device],
  ].map(String),
});
const isVim = arch.startsWith('vim_');
const loop = (batch, name, ...options) =>
  peer('train', batch, `PyTorch, ${name}`, isVim ? 'torch_vim.py' : 'torch_mamba.py', ...options);
const fast = (what, batch, name, ...options) => {
  const script = isVim ? ['torch_vim.py', '--fast'] : ['torch_fast.py'];
  return peer(what, batch, `PyTorch, Triton scan${name}`, ...script, ...options);
};

const rows = [];
if (parts.includes('ours')) {
  for (const batch of numbersOf(args.train)) rows.push(ours('train', batch));
  for (const batch of numbersOf(args.infer)) rows.push(ours('infer', batch));
  for (const batch of numbersOf(args.pruned)) rows.push(ours('infer', batch, Number(args.rate)));
}
if (parts.includes('fast')) {
  for (const batch of batches) {
    for (const what of ['train', 'infer']) {
      rows.push(fast(what, batch, ''));
      rows.push(fast(what, batch, ', one CUDA graph', '--graph'));
      rows.push(fast(what, batch, ', compiled, one CUDA graph', '--compile', '--graph'));
    }
  }
}
if (parts.includes('loop') && !args.quick) {
  for (const batch of batches) {
    // The script of Vim has one loop.
    if (!isVim) rows.push(loop(batch, 'loop by index', '--scan', 'index', '--runs', 3));
    rows.push(loop(batch, 'loop over unbind', '--runs', 3));
    rows.push(loop(batch, 'loop over unbind, compiled', '--compile', '--runs', 3));
  }
}

let running;

/** Ends the process and those that it started (compilers), which are one group. */
function endGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** @returns what the last line of its output says, or `problem` */
function measure({ command, argv }) {
  return new Promise((resolve) => {
    const child = spawn(command, argv, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const texts = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr']) {
      child[stream].setEncoding('utf8').on('data', (text) => (texts[stream] += text));
    }
    let isCut = false;
    const timer = setTimeout(() => {
      isCut = true;
      endGroup(child);
    }, limitMs);
    running = child;
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ problem: error.message });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      running = undefined;
      if (isCut) resolve({ problem: `cut off after ${args.limit} s` });
      else if (code !== 0) resolve({ problem: problemOf(texts.stderr, { script: argv[0], code }) });
      else resolve(resultOf(texts.stdout));
    });
  });
}

function resultOf(stdout) {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1));
  } catch {
    return { problem: 'printed no result' };
  }
}

function problemOf(stderr, { script, code }) {
  if (/out of memory|OutOfMemory/i.test(stderr)) return 'out of memory';
  return errorLine(stderr, script)?.slice(0, 160) ?? `ended with code ${code}`;
}

/** Set by a signal: what has been measured until then is printed. */
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (stopped) process.exit(1);
    stopped = true;
    if (running) endGroup(running);
  });
}

/** Lines about the machine; a Python without torch leaves the peers out. */
function describeMachine() {
  const script =
    'import torch; print(torch.__version__); print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")';
  try {
    return execFileSync(args.python, ['-c', script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .split('\n');
  } catch {
    return undefined;
  }
}

const machine = describeMachine();
if (!machine && parts.some((part) => part !== 'ours'))
  console.error(`gpu: ${args.python} has no torch: the peers are left out.`);
const wanted = rows.filter(
  ({ name, what }) =>
    (machine || name === 'ours') && wordsOf(args.what).includes(what.split(',')[0]),
);
const measured = [];
for (const row of wanted) {
  const started = performance.now();
  const result = await measure(row);
  if (stopped) break;
  measured.push({ ...result, ...row });
  const said =
    result.problem ?? `${result.ms.toFixed(2)} ms${result.note ? ` (${result.note})` : ''}`;
  console.error(
    `[${measured.length}/${wanted.length}] ${row.what} ${row.batch} ${row.name}: ${said}; took ${((performance.now() - started) / 1e3).toFixed(0)} s`,
  );
}

const reference = ({ what, batch }) =>
  measured.find((row) => row.name === 'ours' && row.what === what && row.batch === batch)?.ms;
function lastCell(row) {
  if (row.problem) return row.problem.replaceAll('|', '/');
  const base = reference(row);
  const ratio = row.name === 'ours' || !base ? '' : `${(row.ms / base).toFixed(2)}x`;
  const note = row.note ? `without a graph: ${row.note.slice(0, 80)}` : '';
  return [ratio, note].filter(Boolean).join('; ').replaceAll('|', '/');
}
const known = (cell) => (row) => (row.problem === undefined ? cell(row) : '');
const columns = [
  { title: 'what', cell: ({ what }) => what, left: true },
  { title: 'batch', cell: ({ batch }) => String(batch) },
  { title: 'who', cell: ({ name }) => name, left: true },
  { title: 'ms', cell: known(({ ms }) => ms.toFixed(2)) },
  {
    title: 'images/s',
    cell: known(({ batch, ms }) => Math.round((batch / ms) * 1e3).toLocaleString('en')),
  },
  {
    title: 'most memory',
    cell: known(({ peakBytes }) => (peakBytes ? `${(peakBytes / 1e9).toFixed(1)} GB` : '')),
  },
  { title: 'time / ours', cell: lastCell, left: true },
];
const order = [...new Set(measured.map(({ what, batch }) => `${what} ${batch}`))];
const place = ({ what, batch }) => order.indexOf(`${what} ${batch}`);
const sorted = measured
  .map((row, i) => ({ ...row, i }))
  .sort((a, b) => place(a) - place(b) || a.i - b.i);

const versions = new Set(measured.map((row) => row.ours ?? row.peer).filter(Boolean));
const said = versions.size > 0 ? ` (${[...versions].join(', ')})` : '';
const date = new Date().toISOString().slice(0, 10);
const where = machine ? `${machine[1]}, torch ${machine[0]}` : 'GPU not known';
console.log(`${arch}, bf16: ${where}, ${date}${said}.\n`);
console.log(printedTable(columns, sorted));
process.exitCode = measured.some(({ ms }) => ms !== undefined) ? 0 : 1;
