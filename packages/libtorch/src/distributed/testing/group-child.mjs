/**
 * A worker of a group, for tests: `node group-child.mjs MODE`, with torchrun's variables. Rank 0 tells
 * the port over IPC. Prints one JSON object.
 *
 * SILENCE_MS: of the group. FAIL_RANK: fails. DIE_BEFORE: kills itself at the first call of that native function.
 */
import { callOperator, distributed, libtorchVersion, manualSeed, nn, randn } from '../../index.js';
import { native } from '../../native.js';

const mode = process.argv[2];
const config = distributed.workerConfigFromEnvironment();
if (process.env.DIE_BEFORE) {
  native.version(); // loads it: what is loaded later would take the place of this
  native[process.env.DIE_BEFORE] = () => process.kill(process.pid, 'SIGKILL');
}
const group = await distributed.ProcessGroup.open(config, {
  joinTimeoutMs: mode === 'alone' ? 1000 : 240_000,
  silenceMs: process.env.SILENCE_MS ? Number(process.env.SILENCE_MS) : undefined,
  onListening: (port) => process.send?.(port),
}).catch(report);
const { rank } = group;
if (mode === 'collectives') collectives();
if (mode === 'gradients') gradients();
if (mode === 'endless') endless(() => group.sum([1]));
if (mode === 'training') training(() => undefined);
if (mode === 'late') training(untilLost);
if (mode === 'settling') {
  endless(() => {
    group.settle('cpu');
  });
}
process.disconnect?.();

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function report(error) {
  print({ name: error.name, rank: error.rank, message: error.message });
  process.exit(1);
}

function collectives() {
  const text = group.broadcastText(rank === 0 ? 'grüße' : 'ignored');
  const other = group.broadcastText(rank === 1 ? 'back' : 'ignored', 1);
  const sum = group.sum([1, rank, 0.5]);
  group.barrier();
  group.settle('cpu');
  // What is derived from weights asks their version.
  const written = randn([2]);
  const version = () => callOperator('mamba_prune::weights_version', [written]);
  const before = version();
  group.broadcast(written).wait();
  const afterBroadcast = version();
  group.allReduce(written).wait();
  const versions = [afterBroadcast > before, version() > afterBroadcast];
  let refused;
  try {
    group.allReduce(randn([3, 4]).t());
  } catch (error) {
    refused = error.message;
  }
  group.close();
  print({ text, other, sum, versions, refused, version: libtorchVersion() });
}

/** Gradients of one's own half of a batch, averaged, beside those of the whole batch. */
function gradients() {
  manualSeed(7);
  const model = new nn.Sequential(new nn.Linear(30, 40), new nn.ReLU(), new nn.Linear(40, 3));
  const parameters = model.parameters();
  const images = randn([12, 30]);
  const unused = randn([2]);
  unused.requiresGrad = true;
  // In reverse order: the second layer and the bias before it fit a bucket of 800 bytes.
  const all = [unused, ...parameters];
  const buckets = new distributed.GradientBuckets(group, all, { bucketBytes: 800 });
  const [first, size] = rank === 0 ? [0, 8] : [8, 4];
  const early = [];
  let averaged;
  for (let step = 0; step < 2; step++) {
    for (const tensor of parameters) tensor.grad = null;
    buckets.begin(size / 12);
    model
      .forward(images.narrow(0, first, size))
      .pow(2)
      .mean()
      .backward();
    early.push(buckets.finish());
    averaged = parameters.map((tensor) => tensor.grad.toNumbers());
  }
  buckets.dispose();
  for (const tensor of parameters) tensor.grad = null;
  model.forward(images).pow(2).mean().backward();
  const whole = parameters.map((tensor) => tensor.grad.toNumbers());
  group.close();
  print({ averaged, whole, early, count: buckets.count, unusedGrad: unused.grad });
}

/** Backward begins the collectives, and must not hide whom they miss. @param before - each step */
function training(before) {
  const model = new nn.Sequential(new nn.Linear(30, 40), new nn.ReLU(), new nn.Linear(40, 3));
  const images = randn([12, 30]);
  const buckets = new distributed.GradientBuckets(group, model.parameters(), { bucketBytes: 800 });
  endless(() => {
    before();
    buckets.begin(1 / group.workers);
    model.forward(images).pow(2).mean().backward();
    buckets.finish();
  });
}

/** Busy with something else while a worker is lost. */
function untilLost() {
  for (;;) {
    try {
      group.check();
    } catch {
      return;
    }
  }
}

/** Until a test kills one, or tells it to fail. */
function endless(collective) {
  print('running');
  const until = process.env.FAIL_RANK === String(rank) ? Date.now() + 300 : Infinity;
  try {
    while (Date.now() < until) collective();
    group.fail('out of luck');
    process.exit(3);
  } catch (error) {
    group.close();
    report(error);
  }
}
