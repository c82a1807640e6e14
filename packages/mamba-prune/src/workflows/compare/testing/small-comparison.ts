// A comparison that takes a second: image files of two shades and a model of a few hundred parameters.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import type { CompareRequest } from '../compare.js';
import { perform } from '../perform.js';
import type { StartRun } from '../processes.js';

/** Dark and light images of 8 px, with a little noise in their shades. */
export async function writeShades(folder: string, perClass = 8): Promise<void> {
  for (const part of ['train', 'test']) {
    for (const [name, level] of [
      ['dark', 90],
      ['light', 150],
    ] as const) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < perClass; i++) {
        const shade = level + 7 * ((i * 5) % 8);
        await sharp({
          create: {
            width: 8,
            height: 8,
            channels: 3,
            background: { r: shade, g: shade, b: shade },
          },
        })
          .png()
          .toFile(join(folder, part, name, `${i}.png`));
      }
    }
  }
}

export function smallRequest(images: string): CompareRequest {
  return {
    train: {
      arch: 'mamba_nano',
      dataset: 'folder',
      data: images,
      imageSize: 8,
      model: { dModel: 8, depth: 1, dState: 2 },
      recipe: { epochs: 1, batchSize: 4, lr: 2e-3 },
    },
    finetune: { epochs: 3, batchSize: 4, lr: 1e-3 },
    seeds: [0, 1],
    rates: [0.5],
    cut: { importance: 'l1', ranking: 'layerwise', normalize: 'mean', roundTo: 1, maxRate: 1 },
    refill: { fillback: 0.25, score: 'gradient', budget: 'keep' },
    rsst: { epochs: 1, scope: 'doomed', norm: 'group', strength: 1e-2 },
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
