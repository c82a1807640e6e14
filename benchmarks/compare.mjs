// Ours and plain PyTorch in turn on this machine: the selective scan, a training step and inference of mamba_small in float32.
// Every figure comes from fresh processes; the order is reversed each round, so that a drifting machine favours nobody.
//
//   node benchmarks/compare.mjs [--only scan,train,infer] [--rounds 5] [--threads 2] [--python PATH] [--json]
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { listOf, oneOf, readFlags, whole, wordsOf } from '../scripts/script-flags.mjs';
import { roundsOfTwo } from './bench/rounds.mjs';
import { beside } from './bench/summary.mjs';
import { faster, inMs } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';
import { median } from './median.mjs';
import { printedTable } from './printed-table.mjs';
import { measured, requirePython } from './processes.mjs';

const { values: args } = readFlags({
  only: { type: 'string', value: listOf(oneOf('scan', 'train', 'infer')) },
  rounds: { type: 'string', default: '5', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  python: { type: 'string' },
  json: { type: 'boolean', default: false },
});
const python = requirePython(args.python);
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const cases = [
  {
    ...{ name: 'scan', title: 'selective scan, forward (B=32 L=64 D=384 N=16)' },
    ...{ what: 'scan-forward', batch: 32, runs: 15 },
  },
  {
    ...{ name: 'scan', title: 'selective scan, forward and backward' },
    ...{ what: 'scan-both', batch: 32, runs: 9 },
  },
  {
    ...{ name: 'train', title: 'mamba_small: training step, batch 32' },
    ...{ what: 'train', batch: 32, runs: 3 },
  },
  {
    ...{ name: 'infer', title: 'mamba_small: inference, batch 32' },
    ...{ what: 'infer', batch: 32, runs: 3 },
  },
  {
    ...{ name: 'infer', title: 'mamba_small: inference, batch 1' },
    ...{ what: 'infer', batch: 1, runs: 9 },
  },
];

const versions = new Set();

/** @returns a function that measures once, in milliseconds */
const side =
  (who, command, script, { what, batch, runs }) =>
  () => {
    const options = ['--what', what, '--batch', batch, '--threads', args.threads, '--runs', runs];
    const argv = [...script, ...options.map(String)];
    const { ms, ours, peer } = measured(who, command, argv, { threads: args.threads });
    versions.add(ours ? `ours on ${ours}` : peer);
    return ms;
  };

const wanted = args.only && wordsOf(args.only);
const results = [];
for (const one of cases.filter(({ name }) => wanted === undefined || wanted.includes(name))) {
  const rounds = roundsOfTwo(
    Number(args.rounds),
    side('ours', process.execPath, [path('measure.mjs')], one),
    side('PyTorch', python, [path('peers/torch_mamba.py'), 'time'], one),
  );
  const result = { case: one.title, oursMs: median(rounds.map(({ ours }) => ours)), rounds };
  results.push({ ...result, torch: beside(rounds, 'torch') });
  console.error(
    `${one.title}: ${rounds.map(({ ours, torch }) => `${inMs(ours)} and ${inMs(torch)}`).join(', ')}`,
  );
}

if (args.json) {
  const machine = { cpu: cpus()[0]?.model, threads: Number(args.threads), versions: [...versions] };
  console.log(JSON.stringify({ ...machine, results }, null, 2));
} else {
  const more = [...versions, counted(args.rounds, 'round')];
  console.log(`${factsOf({ threads: args.threads, more })}.\n`);
  const columns = [
    { title: 'what', cell: (row) => row.case, left: true },
    { title: 'ours', cell: ({ oursMs }) => inMs(oursMs) },
    { title: 'plain PyTorch', cell: ({ torch }) => inMs(torch.ms) },
    { title: 'times as fast (low to high)', cell: ({ torch }) => faster(torch) },
  ];
  console.log(printedTable(columns, results));
}
