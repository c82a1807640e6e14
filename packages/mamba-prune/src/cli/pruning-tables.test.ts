import { describe, expect, it } from 'vitest';
import type { Preprocessing } from '../preparation/preprocessing.js';
import type { PruneRun } from '../workflows/prune/run.js';
import { trainingCommand } from './pruning-tables.js';

/** What the command is made of. */
const cut = (dataset?: string, preprocessing?: Preprocessing, imageSize = 64): PruneRun =>
  ({
    path: 'cut',
    record: { rounds: [], widthsBefore: { 'blocks.0.ssm': 4 }, widthsAfter: { 'blocks.0.ssm': 2 } },
    info: { dataset, preprocessing, history: [{ step: 'prune' }] },
    model: { config: { imageSize } },
  }) as unknown as PruneRun;
const command = (run: PruneRun, data?: string): string =>
  trainingCommand(run, data)?.join(' ') ?? '';

describe('the command that trains a cut model on', () => {
  it('prepares images as the model records it, where that is not what train chooses', () => {
    const usual = { interpolation: 'bilinear', cropShare: 0.875 } as const;
    expect(command(cut('folder', usual), 'photos')).toMatch(
      /--data photos --image-size 64 --epochs /,
    );
    expect(
      command(cut('folder', { interpolation: 'bicubic', cropShare: 0.9 }), 'photos'),
    ).toContain('--image-size 64 --interpolation bicubic --crop-share 0.9 --epochs');
    // Its usual share is 1.
    expect(command(cut('tiny-imagenet', usual), 'tiny')).toContain(
      '--image-size 64 --crop-share 0.875 ',
    );
    expect(command(cut('cifar10', { ...usual, cropShare: 1 }), 'data')).not.toMatch(
      /crop|interpolation/,
    );
  });

  it('resizes images as the model has them where no data set is known, but for those of CIFAR', () => {
    const vim = { interpolation: 'bicubic', cropShare: 0.875 } as const;
    expect(command(cut(undefined, vim, 224))).toContain(
      '--dataset NAME --data DIR --image-size 224 --interpolation bicubic --epochs',
    );
    expect(command(cut(undefined, vim, 32))).toContain('--dataset NAME --data DIR --epochs');
  });

  it('names the folder of Fashion-MNIST where one was given: the files there are divided otherwise', () => {
    expect(command(cut('fashion-mnist'), 'idx')).toContain(
      '--dataset fashion-mnist --data idx --epochs',
    );
    expect(command(cut('fashion-mnist'))).toContain('--dataset fashion-mnist --epochs');
    expect(command(cut('cifar10'))).toContain('--data DIR');
  });

  it('names the modules that were given', () => {
    expect(trainingCommand(cut('fashion-mnist'), undefined, ['a.js', 'b'])?.join(' ')).toMatch(
      / --out cut-trained --plugin a\.js --plugin b$/,
    );
  });

  it('asks for the module of a data set that is not known here', () => {
    expect(trainingCommand(cut('stripes'), undefined, ['a.js'])?.join(' ')).toMatch(
      / --dataset stripes .*--plugin a\.js --plugin FILE$/,
    );
  });
});
