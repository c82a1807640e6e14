// Trains the table of docs/results.md on the GPUs of this machine: a dense model of each set, and from it every rate, method and
// seed, as many at the same time as there are slots. The results lie in OUT/results.
//
//   node benchmarks/campaign.mjs --data DIR --out DIR [--sets cifar10,cifar100] [--rates 50,70,80,90,95]
//        [--methods oneshot,refill,rsst,scratch] [--seeds 1,2,3] [--gpus 0] [--slots 5] [--minutes 600]
//        [--dense SET=RUN]...   begins with the dense model of an earlier campaign in place of training one
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { campaignMethods, campaignSets, cellJobs, denseJob } from './campaign/accuracy-table.mjs';
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
/** Before anything is trained: a slip would be seen minutes later, in the first cell. */
function refuse(problem) {
  console.error(`campaign: ${problem}`);
  process.exit(2);
}
if (!args.data || !args.out)
  refuse('expected --data DIR, with the data sets, and --out DIR, for the results.');
const list = (text) => text.split(',');
/** @param known - what a list may have */
function namesOf(flag, known) {
  const names = list(args[flag]);
  const other = names.find((name) => !known.includes(name));
  if (other !== undefined)
    refuse(`--${flag}: got '${other}', expected some of ${known.join(', ')}.`);
  return names;
}
function numbersOf(flag, what, [least, most = Infinity], words = list(args[flag])) {
  const isFitting = (word) => /^\d+$/.test(word) && Number(word) >= least && Number(word) <= most;
  if (!words.every(isFitting)) refuse(`--${flag}: got '${args[flag]}', expected ${what}.`);
  return words.map(Number);
}
const folders = { data: resolve(args.data), out: resolve(args.out) };
const sets = namesOf('sets', campaignSets);
const methods = namesOf('methods', campaignMethods);
const rates = numbersOf('rates', 'whole percents from 1 to 99', [1, 99]);
const seeds = numbersOf('seeds', 'whole numbers from 0', [0]);
const gpus = numbersOf('gpus', 'numbers of GPUs from 0', [0]);
const [slots] = numbersOf('slots', 'a whole number from 1', [1], [args.slots]);
const [minutes] = numbersOf('minutes', 'a whole number from 1', [1], [args.minutes]);
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
  console.log(`${name}: ${status}${status === 'failed' ? ` (${code})` : ''}`);
console.log(`The results are in ${join(folders.out, 'results')}.`);
