import { describe, expect, it } from 'vitest';
import { count } from '../models/common-options.js';
import { registerFamily } from '../models/families.js';
import { ownFamily } from '../models/testing/own-family.js';
import { inFlags } from './flag-spelling.js';

const flags = ['--arch', '--weights', '--patch', '--d-model', '--image-size', '--heads', '--mean'];

describe('options in messages', () => {
  it.each([
    ['Say which with `arch`.', 'Say which with --arch.'],
    ['got `key` "ema" and `patchSize` 4', 'got --weights "ema" and --patch 4'],
    // A list shows what the command has.
    ['some of `numClasses`, `imageSize`, `dConv`, `heads`.', 'some of --image-size, --heads.'],
    ['only `numClasses`.', 'only numClasses.'],
    ['import: imageSize: got 7', 'import: --image-size: got 7'],
    [
      'r: got the option `heads`, expected some of `numClasses`, `dModel`. Leave it out.',
      'r: got the option --heads, expected some of --d-model. Leave it out.',
    ],
    ['Load it with `loadPlugin` ./a.js.', 'Load it with --plugin ./a.js.', ['--plugin']],
    // Options within others, and those of another command.
    [
      'Give `recipe.epochs` or `rsst.epochs`.',
      'Give --epochs or --reg-epochs.',
      ['--epochs', '--reg-epochs'],
    ],
    ['Raise `rsst.cuts`.', 'Raise --cuts.', ['--cuts']],
    ['Raise `rsst.epochs`.', 'Raise rsst.epochs.', []],
    ['Change `tune.seed`.', 'Change --tune-seed.', ['--seed', '--tune-seed']],
    // As checks name what stands within others.
    [
      'prune: rsst.epochs: got 0; prune: rsst.apply: got x; refill.score: got y',
      'prune: --reg-epochs: got 0; prune: --reg-apply: got x; --refill-score: got y',
      ['--score', '--epochs', '--reg-epochs', '--reg-apply', '--refill-score'],
    ],
    [
      'prune: compensate.images: got 9; prune: compensate.target: got x',
      'prune: --compensate-images: got 9; prune: --compensate: got x',
      ['--images', '--compensate', '--compensate-images'],
    ],
    [
      'cut.minWidth: got 4; cut.compensate.images: got 9; cut.rateOf: got nothing',
      '--min-width: got 4; --compensate-images: got 9; --rate-of: got nothing',
      ['--min-width', '--compensate', '--compensate-images', '--rate-of'],
    ],
    [
      'c: import.mean: got [0], expected [1]; import.key: got "x"; import.dModel: got 8; import.patchSize: got 2',
      'c: --mean: got [0], expected [1]; --weights: got "x"; --d-model: got 8; --patch: got 2',
    ],
    ['c: model.dModel: got 8, expected 16', 'c: --d-model: got 8, expected 16'],
    [
      'c: rates.ssm: got 0.6; rates.dt_rank: got 0; rateOf.blocks.0.ssm: got 0.2; costBudget.macs: got "0.5x"',
      'c: --ssm-rate: got 0.6; --dt-rank-rate: got 0; --rate-of blocks.0.ssm: got 0.2; --target-macs: got "0.5x"',
      ['--rate', '--ssm-rate', '--dt-rank-rate', '--rate-of', '--target-macs'],
    ],
    ['Add the kind to `targets`, or', 'Add the kind to --target, or', ['--target']],
    ['scoreBatches: got 0', '--score-batches: got 0', ['--score-batches']],
    [
      'got `rsst.apply` shrink with `rsst.units` all',
      'got --reg-apply shrink with --reg-units all',
      ['--reg-apply', '--reg-units'],
    ],
    // What this command has no flag for is no advice here.
    [
      'Give fewer (`batchSize` 8), let the size be found (`autoBatch`), or see who uses it.',
      'Give fewer (--batch-size 8), or see who uses it.',
      ['--batch-size'],
    ],
    [
      'Run "get", which downloads 39 MB, or give the folder of its idx files (`dir`).',
      'Run "get", which downloads 39 MB.',
      ['--out'],
    ],
    // Of another command, whose flag of that name is not this one's.
    ['Give it (`train.keepEpochs` 5).', 'Give it (train --keep-epochs 5).', []],
    ['Resume it (`train.resume`).', 'Resume it (train --resume).', ['--resume']],
    ['Lower `sensitivity.maxRate`.', 'Lower sensitivity --max-rate.', ['--max-rate']],
    ['or `quickstart.fresh`', 'or quickstart --fresh', ['--resume']],
    [
      'c1: train.recipe.batchSize: got 9, expected 8; finetune.lr: got 1',
      'c1: --batch-size: got 9, expected 8; --finetune-lr: got 1',
      ['--lr', '--batch-size', '--finetune-lr'],
    ],
    [
      'TrainOptions: warmupEpochs: got 9',
      'TrainOptions: --warmup-epochs: got 9',
      ['--warmup-epochs'],
    ],
    ['prune: rsst.epochs: got 0', 'prune: --reg_epochs: got 0', ['--epochs', '--reg_epochs']],
    ['Give another `out`.', 'Give another --exp_name.', ['--exp_name', '--save_dir']],
    ['Give its folder (`dir`).', 'Give its folder (--data).', ['--data']],
    // Groups stay whole by a flag of their own, or by a rate.
    [
      'ask less: excluded groups (a rate of 0 in `rateOf`).',
      'ask less: excluded groups (--exclude, or a rate of 0 in --rate_of).',
      ['--exclude', '--rate_of'],
    ],
    ['excluded (a rate of 0 in `rateOf`).', 'excluded (a rate of 0 in rateOf).', []],
    ['Change `rates`.', 'Change --rate.', ['--rate']],
    ['of `blocks.0.heads`', 'of `blocks.0.heads`'],
    // Words, parts of paths and what stands in quotes are none.
    [
      '/data/imageSize.pth: no dModel, mean or heads',
      '/data/imageSize.pth: no dModel, mean or heads',
    ],
    ["got the key 'x' in a JSON file", "got the key 'x' in a JSON file"],
    ["'imageSize' is missing", "'imageSize' is missing"],
  ] as [message: string, expected: string, known?: string[]][])(
    '%s',
    (message, expected, known = flags) => {
      expect(inFlags(message, known)).toBe(expected);
    },
  );

  it('have the spelling of the command', () => {
    expect(inFlags('`dModel` is 32', ['--d_model'])).toBe('--d_model is 32');
    expect(inFlags('`dModel` is 32', [])).toBe('dModel is 32');
  });

  it('are not looked for in what a file says of itself', () => {
    expect(inFlags('x.safetensors: dModel: got 7', flags, { isUsage: false })).toBe(
      'x.safetensors: dModel: got 7',
    );
  });

  it("are those of families of one's own too", () => {
    registerFamily(
      ownFamily('spelled', { options: { neurons: { values: count(9), flag: '--hidden <n>' } } }),
    );
    const message = 's: got the option `heads`, expected some of `neurons`, `numClasses`.';
    expect(inFlags(message, ['--hidden', '--heads'])).toBe(
      's: got the option --heads, expected some of --hidden.',
    );
  });
});
