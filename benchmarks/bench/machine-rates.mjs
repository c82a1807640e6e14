// How fast this machine multiplies and reads at best, in a process of its own: prints one JSON line with `flops`, operations in a
// second of libtorch's float32 products of large square matrices, and `read`, for each number of bytes how many are read in a second.
//
//   node benchmarks/bench/machine-rates.mjs --threads 2 [--bytes 52736000,16644000] [--runs 8]
import { F, noGrad, ops, randn, scope, setNumThreads } from '@mamba-prune/libtorch';
import { listOf, numbersOf, readFlags, whole } from '../../scripts/script-flags.mjs';

const { values: args } = readFlags({
  threads: { type: 'string', default: '2', value: whole() },
  bytes: { type: 'string', default: '', value: listOf(whole()) },
  runs: { type: 'string', default: '8', value: whole() },
});
setNumThreads(Number(args.threads));

/** @returns seconds of the quickest run of the quickest way: a limit is what the machine can, not what it mostly does */
function quickest(ways) {
  let best = Infinity;
  for (const way of ways) {
    for (let run = -2; run < Number(args.runs); run++) {
      const started = performance.now();
      scope(() => void noGrad(way));
      if (run >= 0) best = Math.min(best, performance.now() - started);
    }
  }
  return best / 1000;
}

/** Two sides, since the larger is the better on most machines and not on all; libtorch has two libraries for products. */
function flops() {
  const rates = [1024, 2048].map((side) =>
    scope(() => {
      const [a, b] = [randn([side, side]), randn([side, side])];
      return (2 * side ** 3) / quickest([() => ops.mm(a, b), () => F.linear(a, b)]);
    }),
  );
  return Math.max(...rates);
}

/** The same bytes again and again: what fits into a cache comes from there, as the weights of a model do. */
function readRate(bytes) {
  const columns = 1024;
  return scope(() => {
    const matrix = randn([Math.max(1, Math.round(bytes / 4 / columns)), columns]);
    const vector = randn([columns]);
    return (4 * matrix.numel) / quickest([() => matrix.sum(), () => ops.mv(matrix, vector)]);
  });
}

const sizes = numbersOf(args.bytes);
const read = Object.fromEntries(sizes.map((bytes) => [bytes, readRate(bytes)]));
console.log(JSON.stringify({ flops: flops(), read }));
