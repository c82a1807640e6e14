// Runs ours and the PyTorch peer in turn on this machine and prints the ratios. Every figure comes
// from fresh processes; the order is reversed each round, so that a drifting machine favours nobody.
//
//   node benchmarks/compare.mjs [--only scan,train,infer] [--rounds 5] [--threads 2] [--python /usr/bin/python3] [--json]
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listOf, oneOf, readFlags, whole } from '../scripts/script-flags.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = readFlags({
  only: { type: 'string', value: listOf(oneOf('scan', 'train', 'infer')) },
  rounds: { type: 'string', default: '5', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  python: { type: 'string', default: '/usr/bin/python3' },
  json: { type: 'boolean', default: false },
});

const cases = [
  {
    name: 'scan',
    title: 'selective scan, forward (B=32 L=64 D=384 N=16)',
    what: 'scan-forward',
    batch: 32,
    runs: 15,
  },
  {
    name: 'scan',
    title: 'selective scan, forward + backward',
    what: 'scan-both',
    batch: 32,
    runs: 9,
  },
  {
    name: 'train',
    title: 'mamba_small training step, batch 32',
    what: 'train',
    batch: 32,
    runs: 3,
  },
  { name: 'infer', title: 'mamba_small inference, batch 32', what: 'infer', batch: 32, runs: 3 },
  { name: 'infer', title: 'mamba_small inference, batch 1', what: 'infer', batch: 1, runs: 9 },
];

function run(command, script, { what, batch, runs }) {
  const options = [
    '--what',
    what,
    '--batch',
    String(batch),
    '--threads',
    args.threads,
    '--runs',
    String(runs),
  ];
  const output = execFileSync(command, [...script, ...options], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: args.threads, OPENBLAS_NUM_THREADS: args.threads },
  });
  return JSON.parse(output.trim().split('\n').at(-1)).ms;
}

const ours = (c) => run(process.execPath, [join(here, 'measure.mjs')], c);
const peer = (c) => run(args.python, [join(here, 'peers', 'torch_mamba.py'), 'time'], c);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

try {
  execFileSync(args.python, ['-c', 'import torch'], { stdio: 'ignore' });
} catch {
  console.error(
    `compare: ${args.python} has no torch. Debian: apt-get install python3-torch; or give --python.`,
  );
  process.exit(1);
}

const wanted = args.only?.split(',');
const results = [];
for (const c of cases.filter(({ name }) => !wanted || wanted.includes(name))) {
  const rounds = [];
  for (let round = 0; round < Number(args.rounds); round++) {
    let a, b;
    if (round % 2 === 0) [a, b] = [ours(c), peer(c)];
    else [b, a] = [peer(c), ours(c)];
    rounds.push({ ours: a, peer: b, ratio: b / a });
  }
  const ratios = rounds.map(({ ratio }) => ratio);
  const result = {
    case: c.title,
    oursMs: median(rounds.map((r) => r.ours)),
    peerMs: median(rounds.map((r) => r.peer)),
    ratio: median(ratios),
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
    rounds,
  };
  results.push(result);
  if (!args.json) {
    const spread = `${result.lowest.toFixed(1)} to ${result.highest.toFixed(1)}`;
    console.log(
      `${c.title.padEnd(50)} ${result.ratio.toFixed(1).padStart(6)}x  (${spread})  ours ${result.oursMs.toFixed(1)} ms, PyTorch ${result.peerMs.toFixed(1)} ms`,
    );
  }
}
if (args.json)
  console.log(
    JSON.stringify({ cpu: cpus()[0]?.model, threads: Number(args.threads), results }, null, 2),
  );
