import { memoryStats, scope } from '@mamba-prune/libtorch';
import { describe, expect, it, vi } from 'vitest';
import { smallMamba } from '../../pruning/testing/models.js';
import { type LatencyTimer, measureLatency } from './latency-table.js';

const options = {
  batch: 1,
  kinds: ['ssm'],
  device: 'cpu',
  precision: 'fp32',
  limit: (ms: number) => ms / 2,
  least: () => 1,
} as const;

describe('models that a table of latencies is measured with', () => {
  it('are freed where one of them cannot be made', async () => {
    const model = smallMamba();
    const withWidths = model.withWidths.bind(model);
    const timer = vi.fn<LatencyTimer>();
    let made = 0;
    vi.spyOn(model, 'withWidths').mockImplementation((widths) => {
      if (++made === 3) throw new Error('no memory left');
      return scope(() => withWidths(widths));
    });
    const { tensors } = memoryStats();
    await expect(measureLatency(model, { ...options, timer })).rejects.toThrow('no memory left');
    expect(memoryStats().tensors).toBe(tensors);
    expect(timer).not.toHaveBeenCalled();
  });

  it('are freed where one of them cannot be moved to the device', async () => {
    const model = smallMamba();
    const withWidths = model.withWidths.bind(model);
    vi.spyOn(model, 'withWidths').mockImplementation((widths) => {
      const narrow = scope(() => withWidths(widths));
      vi.spyOn(narrow, 'to').mockImplementation(() => {
        throw new Error('no memory left there');
      });
      return narrow;
    });
    const { tensors } = memoryStats();
    const timer = vi.fn<LatencyTimer>();
    await expect(measureLatency(model, { ...options, timer })).rejects.toThrow('left there');
    expect(memoryStats().tensors).toBe(tensors);
  });
});
