// For tests: a data set of small image files, and a model of a few thousand parameters trained on it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { Random, Stage } from '../../data/random.js';
import type { PruneSettings } from '../prune/settings.js';
import type { RecipeSettings, TrainSettings } from '../settings.js';

const classes = ['left', 'right'] as const;
export const side = 8;

/**
 * Images whose left or right half is brighter, under noise; 32 to train on and 16 to test.
 * @param size - in pixels, that of the model unless given
 */
export async function writeTinyImages(folder: string, size = side): Promise<void> {
  const random = new Random();
  for (const [part, count] of [
    ['train', 16],
    ['test', 8],
  ] as const) {
    for (const [label, name] of classes.entries()) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        random.seed(label, Stage.split, count, i);
        const pixels = Uint8Array.from({ length: size * size }, (_, at) => {
          const isBright = Math.floor((at % size) / (size / 2)) === label;
          return random.between(0, 150) + (isBright ? 60 : 0);
        });
        await sharp(pixels, { raw: { width: size, height: size, channels: 1 } })
          .png()
          .toFile(join(folder, part, name, `${i}.png`));
      }
    }
  }
}

/** Four steps an epoch. */
export const tinyRecipe: RecipeSettings = { epochs: 1, batchSize: 8, lr: 3e-3, seed: 4 };

export function tinyTraining(images: string): TrainSettings {
  return {
    arch: 'mamba_nano',
    dataset: 'folder',
    data: images,
    imageSize: side,
    model: { dModel: 8, depth: 2, dState: 3 },
    recipe: { ...tinyRecipe, epochs: 3 },
    keepEpochs: [2],
  };
}

/** One cut of 70% without training, unless told otherwise. */
export function tinyPruning(
  model: string,
  images: string,
  changes: Partial<PruneSettings> = {},
): PruneSettings {
  return {
    model,
    method: 'oneshot',
    rates: { ssm: 0.7, mlp: 0.7 },
    importance: 'l2',
    ranking: 'layer',
    normalize: 'mean',
    roundTo: 1,
    maxRate: 1,
    dataset: 'folder',
    data: images,
    recipe: { ...tinyRecipe, epochs: 0 },
    ...changes,
  };
}
