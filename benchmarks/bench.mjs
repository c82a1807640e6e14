// The verdict on the CPU: ours, plain PyTorch and onnxruntime in turn, and what this machine allows at best, measured in the same
// run. Prints one Markdown table and a sentence for each model. README.md in this folder explains every column.
//
//   npm run bench -- [--only train,infer,pruned,vim] [--quick] [--minutes 9] [--rounds 9] [--threads 2] [--python PATH] [--json FILE]
//
// Every figure comes from fresh processes; the order is reversed each round, so that a drifting machine favours nobody.
// The table goes to stdout, progress to stderr.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { aboveZero, readFlags, whole } from '../scripts/script-flags.mjs';
import { narrowModel } from './narrow-model.mjs';
import { wantedCases } from './bench/cases.mjs';
import { highestRates, weightBytes } from './bench/limits.mjs';
import { inTurn, measureInRounds } from './bench/rounds.mjs';
import { machineRates, sidesOf } from './bench/sides.mjs';
import { rowOf } from './bench/summary.mjs';
import { inMs, tableOf, verdictsOf } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';

const { values: args } = readFlags({
  only: { type: 'string' },
  quick: { type: 'boolean', default: false },
  minutes: { type: 'string', default: '9', value: aboveZero },
  rounds: { type: 'string', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  python: { type: 'string' },
  json: { type: 'string' },
});
const wanted = wantedCases(args.only);
const threads = Number(args.threads);
const rounds = Number(args.rounds ?? (args.quick ? 1 : 9));
const budgetMs = 60_000 * Number(args.minutes);
/** Ends a measurement that takes far longer than the time left. */
const graceMs = 45_000;

const started = performance.now();
/** Processes that wanted to compute in the last minute: what else goes on here. */
const [load] = loadavg();
const timeoutMs = () => Math.max(1, Math.round(started + budgetMs + graceMs - performance.now()));
const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Of the model of a case, as it counts them itself. */
function countsOf({ arch, rate, imageSize }) {
  const model = narrowModel(arch, { rate, imageSize });
  const counts = {
    macs: model.macs().reduce((sum, { macs }) => sum + macs, 0),
    parameters: model.numParameters(),
  };
  model.dispose();
  return counts;
}

const settings = { threads: String(threads), python: args.python, folder, quick: args.quick };
const { sides, notes } = sidesOf(settings);
for (const note of notes) console.error(`bench: ${note}`);

const counts = new Map(wanted.map((one) => [one, countsOf(one)]));
const measured = new Map(wanted.map((one) => [one, []]));
const bytes = [...counts]
  .filter(([one]) => one.batch === 1)
  .map(([, { parameters }]) => weightBytes(parameters));
const rates = [];
const versions = {};
const machine = 'machine';

function note(text) {
  notes.push(text);
  console.error(`bench: ${text}`);
}

/** A round whose rates are missing leaves those of the others. */
function measureMachine() {
  const sizes = [...new Set(bytes)];
  try {
    rates.push(machineRates(sizes, { threads: String(threads), timeoutMs: timeoutMs() }));
  } catch (error) {
    note(`the limits of this machine, in one round: ${error.message}.`);
  }
}

function measure(one, round) {
  if (one === machine) return measureMachine();
  const result = {};
  const list = measured.get(one);
  for (const side of inTurn(sides, round)) {
    // What failed in an earlier round is not waited for again.
    const failed = list.some((earlier) => earlier[side.name] === undefined);
    if (failed || !side.measures(one)) continue;
    try {
      const { ms, ours, peer } = side.run(one, timeoutMs());
      result[side.name] = ms;
      versions[side.name] = ours ?? peer;
    } catch (error) {
      note(`${one.group}, ${one.title}: ${error.message}.`);
      if (side.name === 'ours' && error.code !== 'ETIMEDOUT') process.exitCode = 1;
    }
  }
  list.push(result);
  const done = Object.entries(result).map(([name, ms]) => `${name} ${inMs(ms)}`);
  console.error(`  round ${round + 1}, ${one.group}, ${one.title}: ${done.join(', ')}`);
}

measureInRounds([machine, ...wanted], measure, { ms: budgetMs, rounds });

const best = rates.length === 0 ? undefined : highestRates(rates);
const rows = wanted.map((one) => rowOf(one, measured.get(one), counts.get(one), best));
const cpu = { model: cpus()[0]?.model.trim(), cores: cpus().length, memoryBytes: totalmem() };
const perRow = rows.map((row) => row.rounds.length);
const [fewest, most] = [Math.min(...perRow), Math.max(...perRow)];
const range = fewest === most ? String(most) : `${fewest} to ${most}`;
const date = new Date().toISOString().slice(0, 10);
const more = [
  ...Object.entries(versions).map(([name, version]) =>
    name === 'ours' ? `ours on ${version}` : version,
  ),
  counted(range, 'round'),
  date,
];
console.log(`${factsOf({ threads, more })}.`);
if (best !== undefined) {
  const read = Object.entries(best.read).map(
    ([size, rate]) => `${Math.round(rate / 1e9)} GB/s of ${Math.round(size / 1e6)} MB of weights`,
  );
  console.log(
    `Limits measured: ${[`${Math.round(best.flops / 1e9)} GFLOP/s in matrix products`, ...read].join(', ')}.`,
  );
}
console.log(`\n${tableOf(rows)}\n`);
for (const sentence of verdictsOf(rows)) console.log(sentence);
if (load > cpus().length / 2) {
  console.log(
    `This machine was busy before (${load.toFixed(1)} processes at work on average): no figure here is worth much. Leave it alone and repeat.`,
  );
}
for (const text of notes) console.log(`Not measured: ${text}`);

if (args.json !== undefined) {
  const runtime = { threads, versions, node: process.versions.node };
  const file = { date, cpu, ...runtime, load, rates: best, measuredRates: rates, notes, rows };
  writeFileSync(args.json, `${JSON.stringify(file, null, 2)}\n`);
}
