// The scan in four directions as one operator, and as four selective scans of reordered copies, by turns in one session:
// node benchmarks/cross-scan.mjs [--threads 1] [--rounds 7]
import { cpus } from 'node:os';
import { noGrad, randn, manualSeed, scope, setNumThreads } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { readFlags, whole } from '../scripts/script-flags.mjs';
import { median } from './median.mjs';

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

const ways = { one: kernels.crossScan, four: kernels.crossScanInParts };

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

console.log(
  `${cpus()[0]?.model}, Node.js ${process.version}, ${threads} thread(s), float32, one state`,
);
for (const grad of [false, true]) {
  for (const size of sizes) {
    const inputs = inputsOf(size, grad);
    const times = { one: [], four: [] };
    for (let round = -1; round < rounds; round++) {
      const names = round % 2 === 0 ? ['one', 'four'] : ['four', 'one'];
      for (const name of names) {
        const ms = timed(ways[name], inputs, size.side, grad);
        if (round >= 0) times[name].push(ms);
      }
    }
    const [one, four] = [median(times.one), median(times.four)];
    const list = (name) => times[name].map((ms) => ms.toFixed(1)).join(' ');
    console.log(
      `${grad ? 'forward and backward' : 'inference'}, ${size.name} (batch ${size.batch}): ${one.toFixed(1)} ms, ${four.toFixed(1)} ms in parts, ` +
        `${(four / one).toFixed(2)} times as fast [${list('one')} | ${list('four')}]`,
    );
    for (const tensor of Object.values(inputs)) tensor.dispose();
  }
}
