// Stops many trainings by signals, at random moments, and lets each go on. Not part of the suite: it takes an hour.
//
//   node test/soak/signals.mjs [SIGINT|SIGTERM|SIGHUP|SIGWINCH ...] [--count 200] [--jobs 2] [--seed 1]
//
// Wanted: a stop ends with 130 and a checkpoint, and the resumed run has the very weights of one that was never stopped;
// ten times SIGWINCH (a terminal that is resized) change nothing. Trials go through Mamba, ViT and ResNet on one thread and
// on two. Prints a table, and ends with 1 if any trial went otherwise. Needs `npm run build`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readFlags, refuse, whole } from '../../scripts/script-flags.mjs';

const { values, positionals } = readFlags(
  {
    count: { type: 'string', default: '200', value: whole() },
    jobs: { type: 'string', default: '2', value: whole() },
    seed: { type: 'string', default: '1', value: whole(0) },
  },
  { most: Infinity },
);
const known = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGWINCH'];
const other = positionals.find((name) => !known.includes(name));
if (other !== undefined) refuse(`got '${other}', expected some of ${known.join(', ')}`);
const signals = positionals.length > 0 ? positionals : ['SIGINT', 'SIGTERM', 'SIGWINCH'];
const main = fileURLToPath(new URL('../../packages/mamba-prune/dist/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-soak-'));

const vit = ['--arch', 'vit_tiny', '--d-model', '64', '--depth', '3', '--heads', '2'];
const models = {
  mamba: ['--arch', 'mamba_nano'],
  vit,
  resnet: ['--arch', 'resnet20'],
};
const cases = Object.entries(models).flatMap(([model, args]) =>
  ['1', '2'].map((threads) => ({ name: `${model}-${threads}`, args, threads })),
);

/** Mulberry32: the same moments for the same seed. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const dice = random(Number(values.seed));

function start(args, threads) {
  const line = [main, 'train', ...args, '--threads', threads, '--device', 'cpu'];
  const child = spawn(process.execPath, line, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  const begun = new Promise((done) => {
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      // The line of the first epoch: from now on it trains.
      if (/^ +1\/6 /m.test(stderr)) done();
    });
    child.on('close', done);
  });
  const ended = new Promise((done) => {
    child.on('close', (status, signal) => done({ status, signal, stderr }));
  });
  return { child, begun, ended };
}

const dataset = ['--dataset', 'fashion-mnist', '--train-images', '256', '--test-images', '64'];
const recipe = ['--batch-size', '32', '--epochs', '6', '--augment', 'none'];
const begin = ({ args, threads }, out) =>
  start([...args, ...dataset, ...recipe, '--out', out], threads);
const weights = (out) => readFileSync(join(out, 'model.safetensors'));

const wholes = new Map();
for (const each of cases) {
  const out = join(folder, each.name);
  const { status, stderr } = await begin(each, out).ended;
  if (status !== 0) throw new Error(stderr);
  wholes.set(each.name, weights(out));
}

/** One trial; what came of it. */
async function trial(each, signal, number) {
  const out = join(folder, `${each.name}-${signal}-${number}`);
  const { child, begun, ended } = begin(each, out);
  const gone = new AbortController();
  void ended.then(() => gone.abort());
  const wait = (ms) => sleep(ms, undefined, { signal: gone.signal }).catch(() => undefined);
  await begun;
  for (let i = 0; i < (signal === 'SIGWINCH' ? 10 : 1); i++) {
    await wait(dice() * (signal === 'SIGWINCH' ? 100 : 1000));
    child.kill(signal);
  }
  let result = await ended;
  let outcome = 'done';
  if (signal !== 'SIGWINCH' && result.status === 130) {
    if (!readdirSync(join(out, 'checkpoints')).some((name) => name.endsWith('.safetensors')))
      return `stopped without a checkpoint: ${result.stderr.slice(-300)}`;
    result = await start(['--resume', '--out', out], each.threads).ended;
    outcome = 'stopped, resumed';
  }
  if (result.status !== 0)
    return `${outcome}: ended with ${result.signal ?? result.status}: ${result.stderr.slice(-300)}`;
  const same = weights(out).equals(wholes.get(each.name));
  rmSync(out, { recursive: true });
  return same ? `${outcome}: the same weights` : `${outcome}: OTHER WEIGHTS`;
}

const good = new Set(['done: the same weights', 'stopped, resumed: the same weights']);
let failures = 0;
for (const signal of signals) {
  const tally = new Map();
  let next = 0;
  const worker = async () => {
    while (next < Number(values.count)) {
      const number = next++;
      const outcome = await trial(cases[number % cases.length], signal, number);
      if (!good.has(outcome)) failures += 1;
      tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
  for (const [outcome, count] of tally) console.log(`${signal}  ${count} x ${outcome}`);
}
rmSync(folder, { recursive: true });
process.exitCode = failures > 0 ? 1 : 0;
