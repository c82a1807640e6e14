// The collectives of a GPU: in a group of one, and in two processes where there are two GPUs.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  cudaDeviceCount,
  distributed,
  loadSafetensors,
  nn,
  noGrad,
  scope,
  synchronize,
  tensor,
} from '@mamba-prune/libtorch';
import { gpu, skip } from './support.mjs';
import { newModel, options, training } from './training.mjs';
import { killAll, startPair } from './worker-pair.mjs';

const { GradientBuckets, ProcessGroup } = distributed;

async function withGroup(body) {
  const config = { rank: 0, workers: 1, localRank: 0, host: '127.0.0.1', port: 0 };
  const group = await ProcessGroup.open(config, { device: gpu });
  try {
    await body(group);
  } finally {
    group.close();
  }
}

describe('a group of workers on a GPU', { skip }, () => {
  it('sums and broadcasts through NCCL, leaving the only worker its own values', async () => {
    await withGroup((group) =>
      scope(() => {
        const values = tensor([1.5, -2, 3]).to(gpu);
        group.allReduce(values).wait();
        group.broadcast(values).wait();
        assert.deepEqual(values.toNumbers(), [1.5, -2, 3]);
        assert.deepEqual(group.sum([2, 5]), [2, 5]);
      }),
    );
  });

  it('weighs gradients in buckets on their way through backward', async () => {
    await withGroup((group) =>
      scope(() => {
        const layer = new nn.Sequential(new nn.Linear(3, 4), new nn.Linear(4, 2)).to(gpu);
        const x = tensor([[1, 2, 3]]).to(gpu);
        const gradients = () => layer.parameters().map(({ grad }) => grad.toNumbers());
        layer.forward(x).sum().backward();
        const whole = gradients();
        for (const parameter of layer.parameters()) parameter.grad = null;
        // Small buckets, so that there are several.
        const buckets = new GradientBuckets(group, layer.parameters(), { bucketBytes: 32 });
        assert.ok(buckets.count > 1);
        buckets.begin(0.5);
        layer.forward(x).sum().backward();
        buckets.finish();
        noGrad(() => synchronize(gpu));
        // Halving is exact.
        assert.deepEqual(
          gradients(),
          whole.map((values) => values.map((value) => value / 2)),
        );
        buckets.dispose();
      }),
    );
  });
});

const gpus = cudaDeviceCount();

describe('two workers, a GPU each', { skip: gpus < 2 && `needs two GPUs, found ${gpus}` }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-workers-'));
  after(() => {
    killAll();
    rmSync(folder, { recursive: true, force: true });
  });

  it('sum, copy and average gradients, step by step and in a graph', async (t) => {
    const workers = await startPair({ what: 'collectives', device: 'cuda' });
    const outcomes = await Promise.all(workers.map(({ outcome }) => outcome));
    for (const [rank, outcome] of outcomes.entries()) {
      assert.deepEqual(outcome.sum, [3, -4, 7]);
      assert.deepEqual(outcome.copied, [1, 8]);
      assert.equal(outcome.count, 2);
      for (const when of ['launched', 'replayed', 'after']) {
        const worst = largestDifference(outcome[when].got, outcome[when].wanted);
        t.diagnostic(`rank ${rank}, gradients ${when}: largest difference ${worst}`);
        // Gradients are about 0.1; the sum over 12 samples is taken in another order: some float32 roundings of 6e-9.
        assert.ok(worst < 1e-6, `${when}: ${worst}`);
      }
      assert.ok(outcome.launched.early >= 1, 'no bucket was on its way before backward had ended');
      t.diagnostic(`rank ${rank}: a step's exchange over Gloo takes ${outcome.exchangeMs} ms`);
    }
  });

  it('end with the weights of one process, in replayed steps', async (t) => {
    const images = 2048;
    const weights = join(folder, 'weights');
    const plan = { what: 'train', device: 'cuda', path: join(folder, 'two'), images, options };
    const workers = await startPair({ ...plan, weights });
    const alone = await training(join(folder, 'one'), gpu, images, options);
    const outcomes = await Promise.all(workers.map(({ outcome }) => outcome));
    for (const { error, notes, seconds } of outcomes) {
      t.diagnostic(`two workers: ${seconds?.toFixed(1)} s; ${notes?.join(' ')}`);
      assert.equal(error, undefined);
    }
    const { last } = outcomes[0];
    t.diagnostic(`one: ${JSON.stringify(alone.last)}`);
    t.diagnostic(`two: ${JSON.stringify(last)}`);
    assert.equal(alone.last.graph, 'replayed');
    assert.equal(last.graph, 'replayed');
    assert.equal(last.data, 'device');
    assert.equal(outcomes[1].result.steps, 64);
    const [zero, one] = [0, 1].map((rank) =>
      values(loadSafetensors(`${weights}-${rank}.safetensors`).tensors),
    );
    assert.equal(distanceOf(one, zero), 0);
    const single = values(alone.model.stateDict());
    const begin = values(newModel('cpu').stateDict());
    const way = distanceOf(single, begin);
    const apart = distanceOf(zero, single) / way;
    t.diagnostic(`way of the training: ${way}; distance of the ends, in parts of it: ${apart}`);
    // Sums over half a batch are taken in another order; roundings of 6e-8 grow over 64 steps with momentum. A wrong
    // share of the gradients would leave weights that differ by a large part of the way.
    assert.ok(way > 0.05, `the training moved nothing: ${way}`);
    assert.ok(apart < 0.02, `${apart}`);
  });

  it('name one that is killed while the GPUs compute, and one process goes on', async (t) => {
    const path = join(folder, 'killed');
    const images = 32768;
    const given = { ...options, epochs: 6, batchSize: 512 };
    const plan = { what: 'train', device: 'cuda', path, images, options: given };
    const [zero, one] = await startPair(plan);
    await zero.told('epoch');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const killed = Date.now();
    one.child.kill('SIGKILL');
    const { error, at, closingMs, last } = await zero.outcome;
    t.diagnostic(`named after ${at - killed} ms, left the group in ${closingMs} ms`);
    assert.ok(error, `rank 0 knows of nothing: ${JSON.stringify(last)}`);
    t.diagnostic(`${error.name}: ${error.message}`);
    assert.equal(error.name, 'WorkerLostError');
    assert.equal(error.rank, 1);
    // What docs/distributed.md promises.
    assert.ok(at - killed < 15_000);
    assert.ok(closingMs < 12_000);
    const { result, last: ended } = await training(path, gpu, images, given);
    t.diagnostic(`alone to the end: ${JSON.stringify(ended)}`);
    assert.equal(result.finished, true);
    assert.equal(result.steps, 384);
  });
});

function largestDifference(a, b) {
  assert.deepEqual(
    a.map(({ length }) => length),
    b.map(({ length }) => length),
  );
  return Math.max(...a.flatMap((row, i) => row.map((x, k) => Math.abs(x - b[i][k]))));
}

/** All values of a state, in the order of the names. */
function values(state) {
  const names = [...state.keys()].sort();
  return names.flatMap((name) => state.get(name).toNumbers());
}

/** Of the difference, in the Euclidean norm; NaN never passes. */
function distanceOf(a, b) {
  assert.equal(a.length, b.length);
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0));
}
