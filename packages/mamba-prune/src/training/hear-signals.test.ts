import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { hearSignals } from './hear-signals.js';
import { RunFolder } from './run-folder.js';
import { stopOnSignals } from './signals.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';
import { train } from './trainer.js';

const folder = eachTestsFolder();

/** Where the loop is after a file was read, its next turn comes before it looks for signals. */
const readSomething = () => stat(folder.path);

describe('signals that come while nothing gives the event loop a turn', () => {
  it('are heard from wherever in the loop the work began', async () => {
    for (const turn of [setImmediate, readSomething]) {
      await turn();
      const stop = stopOnSignals(() => undefined);
      process.kill(process.pid, 'SIGHUP');
      await hearSignals();
      stop.dispose();
      expect(stop.signal.aborted).toBe(true);
    }
  });

  it('stop a training before its first step', async () => {
    const run = RunFolder.create(join(folder.path, 'run'), toyRun);
    const stop = stopOnSignals(() => undefined);
    try {
      await readSomething();
      process.kill(process.pid, 'SIGHUP');
      const result = await train(
        new ToyModel(),
        toyDataset(),
        toyOptions,
        run,
        {},
        { signal: stop.signal },
      );
      expect(result).toMatchObject({ finished: false, steps: 0 });
    } finally {
      stop.dispose();
      run.release();
    }
  });
});
