// docs/library.md prints it: runs that can be stopped and gone on with.
import { type TrainHooks, pruneRun, registerDataset, trainRun } from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';

const side = 8;
const labels = Array.from({ length: 200 }, (_, i) => i % 2);
const pixels = Uint8Array.from({ length: 200 * side * side }, (_, i) => (7 * i) % 256);
const split = new MemorySplit(pixels, labels, side * side);
const classes = ['ant', 'bee'];
const info = { classes, channels: 1, height: side, width: side, mean: [0.5], std: [0.25] } as const;
registerDataset({
  name: 'insects',
  description: '200 grey images of 8 px',
  needsFolder: false,
  open: () => ({ info, train: split, test: split }),
});

const stop = new AbortController();
process.once('SIGINT', () => {
  stop.abort();
});
const hooks: TrainHooks = {
  onEpoch: ({ phase, epoch, valAccuracy }) => {
    console.log(phase, epoch, valAccuracy);
  },
};
const recipe = { epochs: 2, batchSize: 50 };
const dense = await trainRun(
  { arch: 'mamba_nano', dataset: 'insects', recipe },
  { out: 'runs/insects', signal: stop.signal, hooks },
);
if (dense.result.finished) {
  const half = await pruneRun(
    {
      model: dense.path,
      method: 'refill',
      refill: { fillback: 0.1 },
      ranking: 'global',
      rates: { ssm: 0.5, mlp: 0.5 },
      dataset: 'insects',
      recipe,
    },
    { out: 'runs/insects-half', signal: stop.signal, hooks },
  );
  console.log(half.finished, half.record.accuracy);
}
