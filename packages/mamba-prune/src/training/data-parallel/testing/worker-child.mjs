/**
 * One worker of trainings, for tests: does what comes over IPC, one training after the other, as starting costs more
 * than training. A task is { path, options, plan, env }, env with torchrun's variables. Rank 0 answers with { port }
 * when it listens, and each with { result } in the end.
 */
import { distributed, zeros } from '../../../../../libtorch/src/index.js';
import { RunFolder } from '../../index.js';
import { train } from '../../trainer.js';
import { FakeGraphs } from '../../testing/fake-graphs.js';
import { toyDataset, ToyModel, toyRun } from '../../testing/toy.js';

process.on('message', (task) => {
  void work(task).then((result) => process.send({ result }));
});

/** @param plan - what one rank does after so many steps: stop, die or fail; and whether it has other options */
async function work({ path, options, plan, env }) {
  const config = distributed.workerConfigFromEnvironment(env);
  const group = await distributed.ProcessGroup.open(config, {
    onListening: (port) => process.send({ port }),
  });
  const { rank } = group;
  const mine = plan.rank === rank;
  if (mine && plan.lr) options.lr = plan.lr;
  const stop = new AbortController();
  let steps = 0;
  const notes = [];
  /** What the state of the hooks is when it begins: 0 for the rank that the others have it from. */
  const begun = [];
  const kept = zeros([]);
  const state = {
    tensors: new Map([['kept', kept]]),
    begin() {
      begun.push(kept.item());
      kept.fill_(rank + 7);
    },
  };
  const hooks = {
    ...(plan.hasState && { state }),
    onNote: (note) => notes.push(note),
    onStep() {
      if (!mine || ++steps !== plan.steps) return;
      if (plan.does === 'stop') stop.abort('enough');
      if (plan.does === 'die') process.kill(process.pid, 'SIGKILL');
      if (plan.does === 'fail') throw new Error('no more room');
    },
    onEvaluate() {
      if (mine && plan.does === 'stop-in-evaluation') stop.abort('enough');
    },
  };
  let run;
  try {
    // Only rank 0 has the model that the run begins with.
    const model = new ToyModel(rank === 0 ? 5 : 60 + rank, 16, 3, plan.dropout ?? 0);
    run =
      rank > 0
        ? RunFolder.follow(path, toyRun)
        : RunFolder.isRun(path)
          ? RunFolder.open(path, { write: true })
          : RunFolder.create(path, toyRun);
    const failure = mine && plan.does === 'fail-capture' ? 'no room for it' : undefined;
    const graphs = new FakeGraphs(failure);
    const onDevice = plan.onDevice && { deviceData: plan.onDevice === true, graphBackend: graphs };
    const control = { resume: true, signal: stop.signal, group, ...onDevice };
    if (plan.untilEpoch) {
      const first = { ...control, phase: 'first', untilEpoch: plan.untilEpoch };
      await train(model, toyDataset(), options, run, hooks, first);
      Object.assign(control, { phase: 'rest', continues: { phase: 'first' } });
    }
    const result = await train(model, toyDataset(), options, run, hooks, control);
    const weights = model.parameters().map((tensor) => tensor.toNumbers());
    group.close();
    const counts = [graphs.captures, graphs.replays, graphs.live];
    return { ...result, weights, graphs: counts, notes, begun };
  } catch (error) {
    if (error instanceof distributed.WorkerLostError) group.close();
    else group.fail(error.message);
    return { name: error.name, rank: error.rank, message: error.message };
  } finally {
    run?.release();
  }
}
