// The scan in four directions as one operator, and as four selective scans of reordered copies, in turn in one process.
//
//   node benchmarks/cross-scan.mjs [--threads 1] [--rounds 7]
import {
  libtorchVersion,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { readFlags, whole } from '../scripts/script-flags.mjs';
import { inTurn } from './bench/rounds.mjs';
import { beside } from './bench/summary.mjs';
import { faster, inMs } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';
import { median } from './median.mjs';
import { printedTable } from './printed-table.mjs';

const { values } = readFlags({
  threads: { type: 'string', default: '1', value: whole() },
  rounds: { type: 'string', default: '7', value: whole() },
});
const [threads, rounds] = [Number(values.threads), Number(values.rounds)];
setNumThreads(threads);
manualSeed(0);

/** Stages of vmamba_tiny and vmamba_small at 224 px, and the first of vmamba_nano at 32 px. */
const sizes = [
  { name: 'tiny, stage 0', batch: 4, side: 56, channels: 96 },
  { name: 'tiny, stage 2', batch: 4, side: 14, channels: 384 },
  { name: 'tiny, stage 3', batch: 4, side: 7, channels: 768 },
  { name: 'small, stage 0', batch: 4, side: 56, channels: 192 },
  { name: 'nano, stage 0', batch: 64, side: 16, channels: 32 },
];

function inputsOf({ batch, side, channels }, grad) {
  const length = side * side;
  const made = (...shape) => randn(shape);
  const inputs = {
    u: made(batch, length, channels),
    delta: made(4, batch, length, channels),
    A: made(4 * channels, 1)
      .exp()
      .neg(),
    B: made(batch, length, 4, 1),
    C: made(batch, length, 4, 1),
    D: made(4 * channels),
    deltaBias: made(4 * channels),
  };
  if (grad) for (const tensor of Object.values(inputs)) tensor.requiresGrad = true;
  return inputs;
}

const ways = { ours: kernels.crossScan, parts: kernels.crossScanInParts };

function timed(way, inputs, side, grad) {
  const start = performance.now();
  scope(() => {
    if (!grad) return noGrad(() => void way(inputs, side));
    way(inputs, side).sum().backward();
    for (const tensor of Object.values(inputs)) tensor.grad = null;
    return undefined;
  });
  return performance.now() - start;
}

const rows = [];
for (const grad of [false, true]) {
  for (const size of sizes) {
    const inputs = inputsOf(size, grad);
    const times = [];
    for (let round = -1; round < rounds; round++) {
      const result = {};
      for (const name of inTurn(Object.keys(ways), round + 1)) {
        result[name] = timed(ways[name], inputs, size.side, grad);
      }
      // The first one warms up.
      if (round >= 0) times.push(result);
    }
    const title = `${grad ? 'forward and backward' : 'inference'}, ${size.name}, batch ${size.batch}`;
    rows.push({
      title,
      oneMs: median(times.map(({ ours }) => ours)),
      inParts: beside(times, 'parts'),
    });
    const list = (name) => times.map((round) => inMs(round[name])).join(', ');
    console.error(`${title}: ${list('ours')}; in parts ${list('parts')}`);
    for (const tensor of Object.values(inputs)) tensor.dispose();
  }
}
const more = [`libtorch ${libtorchVersion()}`, 'one state', counted(rounds, 'round')];
console.log(`${factsOf({ threads, more })}.\n`);
const columns = [
  { title: 'what', cell: ({ title }) => title, left: true },
  { title: 'one operator', cell: ({ oneMs }) => inMs(oneMs) },
  { title: 'four scans', cell: ({ inParts }) => inMs(inParts.ms) },
  { title: 'times as fast (low to high)', cell: ({ inParts }) => faster(inParts) },
];
console.log(printedTable(columns, rows));
