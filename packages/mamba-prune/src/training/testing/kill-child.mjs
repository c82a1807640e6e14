/**
 * A training that a test kills; run from the transpiled sources: `node kill-child.mjs RUN [HOW]`. It waits for the
 * signal where it would otherwise end before a busy machine sends it:
 *
 *     --stuck      after the first epoch, for an hour
 *     --patient    after the first epoch, until it is asked to stop
 *     --steps=N    after N steps, for an hour, without giving anything else a turn
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { RunFolder, stopOnSignals } from '../index.js';
import { train } from '../trainer.js';
import { toyDataset, ToyModel, toyOptions, toyRun } from './toy.js';

const [, , path, how] = process.argv;
const most = Number(/^--steps=(\d+)$/.exec(how ?? '')?.[1] ?? Infinity);
const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
let steps = 0;
const stop = stopOnSignals(() => console.log('stopping'));
// As a command line does it: what was killed before it had a config.json begins anew.
const run = RunFolder.isRun(path)
  ? RunFolder.open(path, { write: true })
  : RunFolder.create(path, toyRun);
const seed = existsSync(run.lastCheckpoint) ? 77 : 5;
const options = { ...toyOptions, epochs: 12, logEverySteps: 2, checkpointEvery: { steps: 2 } };
const hooks = {
  onStep: () => {
    // Long enough that kills hit every part of a step, a checkpoint and an evaluation.
    wait(2);
    console.log('step');
    // Longer than any test waits; not for ever, lest one that fails leave it behind.
    if (++steps >= most) wait(3_600_000);
  },
  onEpoch: () => {
    if (how === '--patient' && !stop.signal.aborted) return once(stop.signal, 'abort');
    if (how !== '--stuck') return;
    console.log('stuck');
    return new Promise((resolve) => setTimeout(resolve, 3_600_000));
  },
};
const control = { resume: true, signal: stop.signal };
const result = await train(new ToyModel(seed), toyDataset(), options, run, hooks, control);
run.release();
stop.dispose();
console.log(result.finished ? 'finished' : `stopped after ${result.steps}`);
