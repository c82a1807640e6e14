// Which blocks the launch for few images is asked to take; test/gpu/cluster.test.mjs runs it. The operator is said to be there,
// as it is in an addon that was built with CUDA.
import { expect, it, vi } from 'vitest';
import type * as dispatch from '../dispatch.js';
import { nn, zeros } from '../index.js';
import { hasClusterBlocks } from './cluster-blocks.js';
import type { FusedBlock } from './fused-blocks.js';

vi.mock('../dispatch.js', async (load) => ({
  ...(await load<typeof dispatch>()),
  hasOperator: () => true,
}));

const dModel = 16;
const sizes = { channels: 24, neurons: 40, states: 16, rank: 16, taps: 4, directions: 1 };

function blockOf(changed: Partial<typeof sizes>): FusedBlock {
  const { channels, neurons, states, rank, taps, directions } = { ...sizes, ...changed };
  const scan = [
    zeros([channels, 1, taps]),
    zeros([channels]),
    zeros([rank + 2 * states, channels]),
    zeros([channels, rank]),
    zeros([channels]),
    zeros([channels, states]),
    zeros([channels]),
  ];
  const matrices = [zeros([2 * channels, dModel]), zeros([dModel, channels])];
  const ssm = [...matrices, ...Array.from({ length: directions }, () => scan).flat()];
  const mlp = [
    zeros([neurons, dModel]),
    zeros([neurons]),
    zeros([dModel, neurons]),
    zeros([dModel]),
  ];
  return {
    norm1: new nn.LayerNorm(dModel),
    ssm: { weights: ssm, packed: [] },
    norm2: new nn.LayerNorm(dModel),
    mlp: { weights: mlp, packed: [] },
  };
}

// The operator throws for a wider block; such a model runs branch by branch, as on every other GPU.
it.each([
  [{}, true],
  [{ channels: 16383, neurons: 16383 }, true],
  [{ channels: 16384 }, false],
  [{ neurons: 16384 }, false],
  [{ states: 17 }, false],
  [{ rank: 17 }, false],
  [{ taps: 5 }, false],
  [{ directions: 2 }, false],
])('takes a block of %o: %s', (changed, expected) => {
  const blocks = [blockOf({}), blockOf(changed)];
  expect(hasClusterBlocks('cuda:0', blocks)).toBe(expected);
  expect(hasClusterBlocks('cpu', blocks)).toBe(false);
});
