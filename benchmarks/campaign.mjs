// Trains the table of docs/results.md on the GPUs of this machine: a dense model of each set, and from it every rate, method and
// seed, as many at the same time as there are slots. The results lie in OUT/results.
//
//   node benchmarks/campaign.mjs --data DIR --out DIR [--sets cifar10,cifar100] [--rates 50,70,80,90,95]
//        [--methods oneshot,refill,rsst,scratch] [--seeds 1,2,3] [--gpus 0] [--slots 5] [--minutes 600]
//        [--dense SET=RUN]...   begins with the dense model of an earlier campaign in place of training one
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cellJobs, denseJob } from './campaign/accuracy-table.mjs';
import { runJobs } from './campaign/scheduler.mjs';

const { values: args } = parseArgs({
  options: {
    data: { type: 'string' },
    out: { type: 'string' },
    sets: { type: 'string', default: 'cifar10,cifar100' },
    rates: { type: 'string', default: '50,70,80,90,95' },
    methods: { type: 'string', default: 'oneshot,refill,rsst,scratch' },
    seeds: { type: 'string', default: '1,2,3' },
    gpus: { type: 'string', default: '0' },
    slots: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '600' },
    dense: { type: 'string', multiple: true, default: [] },
  },
});
if (!args.data || !args.out) {
  console.error(
    'campaign: expected --data DIR, with the data sets, and --out DIR, for the results.',
  );
  process.exit(2);
}
const list = (text) => text.split(',');
const folders = { data: resolve(args.data), out: resolve(args.out) };
const slots = Number(args.slots);
const sets = list(args.sets);
const given = new Map(
  args.dense.map((text) => {
    const [, set, run] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (!sets.includes(set)) {
      console.error(
        `campaign: --dense: got '${text}', expected SET=RUN with one of ${sets.join(', ')}.`,
      );
      process.exit(2);
    }
    return [set, resolve(run)];
  }),
);
const jobs = [
  // Nothing runs beside a dense training, whose time is of interest.
  ...sets.map((set) => denseJob(set, { ...folders, dense: given.get(set), slots })),
  ...sets.flatMap((set) =>
    cellJobs(set, {
      ...folders,
      dense: given.get(set),
      rates: list(args.rates).map(Number),
      methods: list(args.methods),
      seeds: list(args.seeds).map(Number),
    }),
  ),
];
const states = await runJobs(jobs, {
  gpus: list(args.gpus).map(Number),
  slots,
  out: folders.out,
  deadline: Date.now() + Number(args.minutes) * 60_000,
});
for (const [name, { status, code }] of Object.entries(states))
  console.log(`${name}: ${status}${status === 'failed' ? ` (${code})` : ''}`);
console.log(`The results are in ${join(folders.out, 'results')}.`);
