// One worker, with torchrun's variables: `node worker.mjs PLAN`, a JSON object. Rank 0 tells the port over IPC. Prints
// one JSON object. What it does is its function below; the tests are in distributed.test.mjs.
import {
  CudaGraph,
  distributed,
  manualSeed,
  nn,
  noGrad,
  randn,
  saveSafetensors,
  scope,
  tensor,
} from '@mamba-prune/libtorch';
import { training } from './training.mjs';

const does = { collectives, train };

// Node's test runner runs every file of a folder.
if (process.argv[2] !== undefined) await main(JSON.parse(process.argv[2]));

async function main(plan) {
  const config = distributed.workerConfigFromEnvironment();
  const device = plan.device === 'cuda' ? `cuda:${config.rank}` : plan.device;
  const group = await distributed.ProcessGroup.open(config, {
    device,
    joinTimeoutMs: 60_000,
    timeoutMs: 60_000,
    onListening: (port) => process.send({ port }),
  });
  let outcome;
  try {
    outcome = await does[plan.what](group, device, plan);
    group.close();
  } catch (error) {
    const { name, rank, message, stack } = error;
    const at = Date.now();
    if (error instanceof distributed.WorkerLostError) group.close();
    else group.fail(message);
    outcome = { error: { name, rank, message, stack }, at, closingMs: Date.now() - at };
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
  process.disconnect();
}

/** Sums, copies, and gradients in buckets: step by step, and as a graph. */
function collectives(group, device) {
  const { rank } = group;
  const { sum, copied } = scope(() => {
    const values = tensor([1.5, -2, 3 + rank]).to(device);
    group.allReduce(values).wait();
    const others = tensor([rank, 7 + rank]).to(device);
    group.broadcast(others, 1).wait();
    return { sum: values.toNumbers(), copied: others.toNumbers() };
  });
  return { sum, copied, ...gradients(group, device), exchangeMs: exchangeMs(group) };
}

/** Of one's own part of a batch, averaged, beside those of the whole batch. */
function gradients(group, device) {
  manualSeed(7);
  const model = new nn.Sequential(new nn.Linear(30, 40), new nn.ReLU(), new nn.Linear(40, 3)).to(
    device,
  );
  const parameters = model.parameters();
  const batches = [0, 1].map(() => randn([12, 30]).to(device));
  const images = batches[0].clone();
  // The second layer and the bias before it fit a bucket of 800 bytes.
  const buckets = new distributed.GradientBuckets(group, parameters, { bucketBytes: 800 });
  const [first, size] = group.rank === 0 ? [0, 8] : [8, 4];
  const clear = () => parameters.forEach((parameter) => (parameter.grad = null));
  const averaged = parameters.map((parameter) => noGrad(() => parameter.clone()));
  let early;
  const step = () =>
    scope(() => {
      clear();
      buckets.begin(size / 12);
      model
        .forward(images.narrow(0, first, size))
        .pow(2)
        .mean()
        .backward();
      early = buckets.finish();
      noGrad(() => averaged.forEach((kept, i) => kept.copy_(parameters[i].grad)));
    });
  const whole = (batch) =>
    scope(() => {
      clear();
      model.forward(batch).pow(2).mean().backward();
      return parameters.map((parameter) => parameter.grad.toNumbers());
    });
  const numbers = () => averaged.map((kept) => kept.toNumbers());

  for (let i = 0; i < 3; i++) step();
  const launched = { got: numbers(), wanted: whole(batches[0]), early };
  clear();
  let replayed;
  if (CudaGraph.isSupported(device)) {
    const graph = CudaGraph.capture(device, step);
    noGrad(() => images.copy_(batches[1]));
    for (let i = 0; i < 20; i++) graph.replay();
    group.settle(device);
    replayed = { got: numbers() };
    clear();
    graph.dispose();
    replayed.wanted = whole(batches[1]);
  }
  // Beside and after a graph collectives go on as before.
  noGrad(() => images.copy_(batches[1]));
  step();
  const after = { got: numbers(), wanted: whole(batches[1]), early };
  buckets.dispose();
  return { count: buckets.count, launched, replayed, after };
}

/** What the workers tell each other in every step. */
function exchangeMs(group) {
  const times = Array.from({ length: 200 }, () => {
    const started = performance.now();
    group.sum([0, 0, 1]);
    return performance.now() - started;
  });
  return times.sort((a, b) => a - b)[100];
}

/** Tells rank 0's parent when the second epoch begins; that may kill the other worker then. */
async function train(group, device, { path, images, options, weights }) {
  const notes = [];
  const hooks = {
    onNote: (note) => notes.push(note),
    onStep: ({ epoch, step }) => {
      if (group.rank === 0 && epoch === 2 && step === 1) process.send({ epoch });
    },
  };
  const started = performance.now();
  const { model, result, last } = await training(path, device, images, options, { group, hooks });
  const seconds = (performance.now() - started) / 1000;
  if (weights) saveSafetensors(`${weights}-${group.rank}.safetensors`, model.stateDict());
  return { result, last, notes, seconds };
}
