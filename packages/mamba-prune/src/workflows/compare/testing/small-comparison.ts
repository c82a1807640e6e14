// A comparison that takes seconds: small image files and a model of a thousand parameters.
import type { CompareRequest } from '../compare.js';
import type { CompareSettings } from '../settings.js';
import { perform } from '../perform.js';
import type { StartRun } from '../processes.js';
import { side } from '../../testing/tiny.js';

/** Its sizes are rates. */
export type SmallRequest = CompareRequest & Pick<CompareSettings, 'rates' | 'seedsAt'>;

/** @param images - folder that `writeTinyImages` filled */
export function smallRequest(images: string): SmallRequest {
  return {
    train: {
      arch: 'mamba_nano',
      dataset: 'folder',
      data: images,
      imageSize: side,
      model: { dModel: 8, depth: 1, dState: 2 },
      recipe: { epochs: 1, batchSize: 8, lr: 2e-3 },
    },
    finetune: { epochs: 3, batchSize: 8, lr: 1e-3 },
    seeds: [0, 1],
    rates: [0.5],
    cut: { importance: 'l1', ranking: 'layer', normalize: 'mean', roundTo: 1, maxRate: 1 },
    refill: { fillback: 0.25, score: 'gradient', budget: 'keep' },
    rsst: { epochs: 1, units: 'doomed', norm: 'group', strength: 1e-2 },
  };
}

/** Carries runs out in this process, one after the other, so that tests need no compiled files. */
export function inProcess(seen: string[] = []): StartRun {
  let last: Promise<unknown> = Promise.resolve();
  return (order, { onProgress, onNote }) => {
    seen.push(order.run.name);
    const stop = new AbortController();
    const ended = last.then(() => perform(order, { signal: stop.signal, onProgress, onNote }));
    last = ended.catch(() => undefined);
    return {
      ended,
      stop: () => {
        stop.abort();
      },
    };
  };
}
