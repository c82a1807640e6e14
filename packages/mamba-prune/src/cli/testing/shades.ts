// For tests that start the program: pictures of two classes, dark and bright, and a training on them that takes a moment.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

/**
 * Pictures of 8 x 8 pixels as the data set `folder` wants them: train/a, train/b, test/a, test/b.
 * @param each - pictures of a class
 * @param greenOf - of a picture, so that they can be told apart. Default `0`
 */
export async function writeShades(
  folder: string,
  each: number,
  greenOf: (picture: number) => number = () => 0,
): Promise<void> {
  for (const part of ['train', 'test']) {
    for (const [name, red] of Object.entries({ a: 30, b: 220 })) {
      const at = join(folder, part, name);
      mkdirSync(at, { recursive: true });
      for (let i = 0; i < each; i++) {
        const background = { r: red, g: greenOf(i), b: 0 };
        const picture = sharp({ create: { width: 8, height: 8, channels: 3, background } });
        await picture.png().toFile(join(at, `${i}.png`));
      }
    }
  }
}

/** The smallest model, on the pictures in `images` of the working folder. */
export function shadesTraining(batchSize: number): string[] {
  const model = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--image-size', '8'];
  const data = ['--dataset', 'folder', '--data', 'images', '--batch-size', `${batchSize}`];
  return ['train', ...model, ...data, '--augment', 'none', '--device', 'cpu'];
}
