/** A training that a test kills; run from the transpiled sources: `node kill-child.mjs RUN [--stuck]`. */
import { existsSync } from 'node:fs';
import { RunFolder, stopOnSignals, train } from '../index.js';
import { toyDataset, ToyModel, toyOptions, toyRun } from './toy.js';

const [, , path, stuck] = process.argv;
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
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    console.log('step');
  },
  onEpoch: () => {
    if (!stuck) return;
    console.log('stuck');
    return new Promise((resolve) => setTimeout(resolve, 100_000));
  },
};
const control = { resume: true, signal: stop.signal };
const result = await train(new ToyModel(seed), toyDataset(), options, run, hooks, control);
run.release();
stop.dispose();
console.log(result.finished ? 'finished' : `stopped after ${result.steps}`);
