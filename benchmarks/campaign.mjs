// Trains the tables of docs/results/all-runs.md on the GPUs of this machine: a dense model of each set, and from it every rate, method and
// seed, as many at the same time as there are slots. The results lie in OUT/results. The exit status is 1 unless all jobs were done.
//
//   node benchmarks/campaign.mjs --data DIR --out DIR [--sets cifar10,cifar100] [--rates 50,70,80,90,95]
//        [--methods oneshot,refill,rsst,scratch] [--seeds 1,2,3] [--gpus 0] [--slots 5] [--minutes 600]
//        [--dense SET=RUN]...   begins with the dense model of an earlier campaign in place of training one
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { campaignMethods, campaignSets, cellJobs, denseJob } from './campaign/accuracy-table.mjs';
import { logName, runJobs } from './campaign/scheduler.mjs';

const { values: args } = readFlags({
  data: { type: 'string', required: 'the folder of the data sets' },
  out: { type: 'string', required: 'the folder of the results' },
  sets: { type: 'string', default: 'cifar10,cifar100', value: listOf(oneOf(...campaignSets)) },
  rates: { type: 'string', default: '50,70,80,90,95', value: listOf(whole(1, 99)) },
  methods: {
    type: 'string',
    default: 'oneshot,refill,rsst,scratch',
    value: listOf(oneOf(...campaignMethods)),
  },
  seeds: { type: 'string', default: '1,2,3', value: listOf(whole(0)) },
  gpus: { type: 'string', default: '0', value: listOf(whole(0)) },
  slots: { type: 'string', default: '5', value: whole() },
  minutes: { type: 'string', default: '600', value: whole() },
  dense: { type: 'string', multiple: true, default: [] },
});
const folders = { data: resolve(args.data), out: resolve(args.out) };
const [sets, methods] = [wordsOf(args.sets), wordsOf(args.methods)];
const [rates, seeds, gpus] = [numbersOf(args.rates), numbersOf(args.seeds), numbersOf(args.gpus)];
const [slots, minutes] = [Number(args.slots), Number(args.minutes)];
// Before anything is trained: a slip would be seen minutes later, in the first cell.
if (!existsSync(folders.data))
  refuse(`--data: ${folders.data} does not exist, expected the folder of the data sets`);
const given = new Map(
  args.dense.map((text) => {
    const [, set, run] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (!sets.includes(set))
      refuse(`--dense: got '${text}', expected SET=RUN with one of ${sets.join(', ')}.`);
    const folder = resolve(run);
    if (!existsSync(join(folder, 'model.safetensors')))
      refuse(`--dense: ${folder} has no model.safetensors, expected the folder of a dense run.`);
    return [set, folder];
  }),
);
const jobs = [
  // Nothing runs beside a dense training, whose time is of interest.
  ...sets.map((set) => denseJob(set, { ...folders, dense: given.get(set), slots })),
  ...sets.flatMap((set) =>
    cellJobs(set, {
      ...folders,
      dense: given.get(set),
      ...{ rates, methods, seeds },
    }),
  ),
];
const states = await runJobs(jobs, {
  gpus,
  slots,
  out: folders.out,
  deadline: Date.now() + minutes * 60_000,
});
for (const [name, { status, code }] of Object.entries(states))
  console.log(
    `${name}: ${status}${status === 'failed' ? ` (${code}), see logs/${logName(name)}` : ''}`,
  );
if (Object.values(states).some(({ status }) => status !== 'done')) process.exitCode = 1;
console.log(`The results are in ${join(folders.out, 'results')}.`);
