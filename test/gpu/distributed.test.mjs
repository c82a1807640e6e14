// The collectives of a GPU, in a group of one: what can be seen without a second GPU.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { distributed, nn, noGrad, scope, synchronize, tensor } from '@mamba-prune/libtorch';
import { gpu, skip } from './support.mjs';

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
