/**
 * A pruning run that a test kills; from the transpiled sources:
 * `node prune-child.mjs RUN SETTINGS-FILE [EVENT NTH]` stops dead at the nth event of that name.
 */
import { readFileSync } from 'node:fs';
import { RunFolder } from '../../training/run-folder.js';
import { pruneRun } from '../prune/run.js';

const [, , out, settingsFile, event, nth] = process.argv;
const settings = JSON.parse(readFileSync(settingsFile, 'utf8'));
let seen = 0;
const hear = (name) => () => {
  if (name !== event || ++seen < Number(nth)) return;
  console.log('here');
  // Until it is killed, without giving anything else a turn. Longer than any test waits; not for ever, lest one
  // that fails leave it behind.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_600_000);
};
const { finished } = await pruneRun(
  settings,
  { out, resume: RunFolder.isRun(out) },
  {
    onEvaluate: hear('onEvaluate'),
    onCut: hear('onCut'),
    onRound: hear('onRound'),
    onPhase: () => ({ onStep: hear('onStep'), onCheckpoint: hear('onCheckpoint') }),
  },
);
console.log(finished ? 'finished' : 'stopped');
