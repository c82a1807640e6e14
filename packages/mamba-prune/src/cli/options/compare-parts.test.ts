// Flags of compare for methods, learning rates, seeds and parts: what they are refused for, before any work.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../testing/run-cli.js';
import { partsOf, tuneOf } from './compare-parts.js';

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'mamba-prune-parts-'))));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('flags of compare', () => {
  it.each<[readonly string[], RegExp]>([
    [['--quick', '--methods', 'dense,lottery'], /Got 'lottery', expected some of dense, scratch/],
    [['--quick', '--methods', 'rsst,rsst'], /Got rsst twice/],
    [['--quick', '--methods', ''], /Got ''/],
    [['--quick', '--methods', 'scratch,rsst'], /scratch without oneshot/],
    [['--quick', '--lr-of', 'refill'], /Expected a method .* such as refill=4e-3/],
    [['--quick', '--lr-of', 'refill=0'], /Expected a method/],
    [['--quick', '--lr-of', 'refill=1=2'], /Expected a method/],
    [['--quick', '--lr-of', 'refill=1e9'], /at most 1000000/],
    [['--quick', '--lr-of', 'rsst=1', '--lr-of', 'rsst=2'], /Got rsst twice/],
    [
      ['--quick', '--target-macs', '3M,3MB'],
      /Got '3MB'\. Expected a number above 0 .* such as 3M, or a share of the model above 0x/,
    ],
    [['--quick', '--target-macs', '1x'], /such as 3M, or a share of the model above 0x and below/],
    [['--quick', '--target-macs', '0.3x,0.30x'], /Got 0.30x twice/],
    [['--quick', '--target-macs', '3M,3000000'], /Got 3000000 twice/],
    [['--quick', '--target-params', '9M'], /which fits the budget 9M already: .* Lower the budget/],
    [
      ['--quick', '--target-macs', '10K'],
      /the least that these groups can be cut to is .* MACs \(the budget is 10,000\)/,
    ],
    [
      ['--quick', '--target-macs', '3M', '--seeds-at', '2M=5'],
      /got seeds at 2M, expected one of the sizes that are compared: 3M\. Change --seeds-at/,
    ],
    [['--quick', '--seeds-at', '0.3x=5'], /got seeds at 0\.3x, expected .* 0\.7/],
    [['--quick', '--seeds-at', '0.7,0.3x=5'], /Got 0.3x twice/],
    [
      ['--quick', '--tune-lr', '1e-3,2e-3', '--tune-rate', '0.3x'],
      /--tune-rate: got 0\.3x, expected a share to remove .* an amount is of a budget/,
    ],
    [
      ['--quick', '--tune-lr', '1e-3,2e-3', '--tune-rate', '1'],
      /--tune-rate: got 1, expected a share/,
    ],
    [['--quick', '--target-macs', '0.3x', '--rate', '0.7'], /got --target-macs and --rate/],
    [
      ['--quick', '--target-macs', '0.3x', '--target-file', '0.3x'],
      /got --target-macs and --target-file/,
    ],
    [['--quick', '--seeds-at', '0.7'], /Expected rates above 0 and below 1, or budgets such as 3M/],
    [['--quick', '--seeds-at', '0.7=0'], /Expected rates .*, and a number of seeds from 1 to/],
    [['--quick', '--seeds-at', '0.7,0.7=5'], /Got 0.7 twice/],
    [
      ['--quick', '--seeds-at', '0.9=5'],
      /seeds at the rate 0.9, expected one that is compared: rate 0.7/,
    ],
    [['--quick', '--tune-seed', '3'], /--tune-seed, which belongs to --tune-lr/],
    [
      ['--quick', '--tune-lr', '1e-3,2e-3', '--lr-of', 'rsst=1e-3'],
      /--lr-of, which has no say beside --tune-lr/,
    ],
    [['--quick', '--tune-lr', '1e-3'], /two different ones at least/],
    [['--quick', '--tune-lr', '1e-3,2e-3', '--tune-seed', '0'], /seed 0 to choose learning rates/],
    [
      ['--quick', '--rate', '0.5,0.7', '--tune-lr', '1e-3,2e-3'],
      /--tune-rate is missing, expected the size to choose learning rates at/,
    ],
    [['--quick', '--temperature', '2'], /--temperature, which belongs to --distill/],
    [
      ['--quick', '--fillback', '0', '--refill-score', 'magnitude'],
      /got --refill-score, which belongs to --fillback above 0: no unit returns/,
    ],
    [
      ['--quick', '--reg-apply', 'shrink', '--reg-units', 'all'],
      /compare: got --reg-apply shrink with --reg-units all, expected doomed/,
    ],
    [
      ['--quick', '--rank-by', 'score-per-cost', '--ranking', 'layer'],
      /got --rank-by, which belongs to --ranking global/,
    ],
    [
      ['--quick', '--exclude', 'layer1.*'],
      /--exclude: got 'layer1\.\*', which is the name of no group\. Name some of blocks\.0\.ssm/,
    ],
    [
      ['--quick', '--rate-of', '*.state=0.5'],
      /--rate-of: got '\*\.state', which names groups of the kind state only.* Add the kind to --target/,
    ],
    [
      ['--quick', '--exclude', '*.ssm', '--rate-of', '*.mlp=0.5'],
      /rates of their own for all groups of ssm and mlp \(--rate-of\), expected some left/,
    ],
    [
      ['--quick', '--exclude', '*'],
      /--exclude: got patterns that leave all groups of ssm and mlp whole/,
    ],
    [
      ['--quick', '--target-macs', '0.1x', '--exclude', 'blocks.0.*'],
      /the least that these groups can be cut to is .* MACs .*excluded groups \(--exclude/,
    ],
    [
      ['--quick', '--bn-batches', '4'],
      /got 4 batches .* mamba_quick has none\. Leave --bn-batches out/,
    ],
    [
      ['--quick', '--compensate-images', '99'],
      /no compensation\. Give --compensate, or leave it out/,
    ],
    [
      ['--quick', '--compensate', '--target', 'state'],
      /got --compensate, but groups of the kind state are read by no weights of their own/,
    ],
    [
      ['--quick', '--compensate', '--train-images', '9'],
      /got 9 training images to compensate with/,
    ],
    [
      ['--quick', '--cuts', '2'],
      /got 2 cuts without --lr-through, expected both.* Add --lr-through, or leave --cuts out\./,
    ],
    [['--quick', '--cut-at-zero'], /got --cut-at-zero without --lr-through, expected both/],
    [
      ['--quick', '--rechoose', '9'],
      /--rechoose: got 9, expected fewer than the 2 regularised epochs/,
    ],
    [
      ['--quick', '--methods', 'oneshot', '--rechoose', '1'],
      /got --rechoose, which belongs to the method rsst/,
    ],
    [
      ['--quick', '--reg-schedule', 'cosine', '--exponents', '3'],
      /got --exponents, which has no effect under --reg-schedule cosine/,
    ],
    [
      ['--quick', '--methods', 'oneshot', '--importance', 'l1', '--score-batches', '3'],
      /got --score-batches, which belongs to --importance taylor/,
    ],
    [
      ['--quick', '--ranking', 'layer', '--max-rate', '0.9'],
      /got --max-rate, which belongs to --ranking global/,
    ],
    [['--resume', '--compensate'], /got --compensate with --resume, which takes the settings/],
    [['--quick', '--rounds', '3'], /unknown option '--rounds': every method cuts once.* --cuts/],
    [['--quick', '--target-latency=2ms'], /unknown option '--target-latency': .* --target-macs/],
    [
      ['--quick', '--ssm-rate', '0.5'],
      /unknown option '--ssm-rate': .* --rate-of gives groups a rate/,
    ],
    [['--quick', '--excludes', 'x'], /unknown option '--excludes' \(Did you mean --exclude\?\)/],
    [['--quick', '--only', 'seed-0/*,'], /Expected names of runs/],
    [['--resume', '--rate', '0.5'], /got --rate with --resume, which takes the settings/],
    [['--resume'], /holds no comparison to go on with/],
    [['--collect', '--epochs', '3'], /got --epochs with --collect, which trains nothing/],
    [['--collect', 'nowhere'], /holds no comparison/],
    [['--quick', '--dense', 'nothing.safetensors'], /nothing\.safetensors does not exist/],
    [
      ['--quick', '--dense', 'x', '--arch', 'vit_tiny'],
      /architecture, or options of it, with --dense.* mamba-prune export FILE --arch NAME --out dense\.safetensors/,
    ],
    [
      ['--quick', '--dense', 'package.json', '--methods', 'scratch,oneshot'],
      /--epochs is missing, expected those that the dense model/,
    ],
  ])('are refused: %j', async (flags, message) => {
    const out = join(folder, 'c');
    const { status, stderr } = await runCli(['compare', ...flags, '--out', out]);
    expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(message);
    expect(status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });

  it('take no folder of another program for a run, which tells its epochs', async () => {
    const dense = join(folder, 'other');
    mkdirSync(dense);
    writeFileSync(join(dense, 'config.json'), '{"model_type": "vit"}');
    const flags = ['--quick', '--dense', dense, '--epochs', '1', '--out', join(folder, 'd')];
    const { status, stderr } = await runCli(['compare', ...flags]);
    expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(/is a folder without model\.safetensors/);
    expect(status).toBe(2);
  });
});

describe('partsOf', () => {
  it('gives nothing for what was not typed, and nothing for what is usual anyway', () => {
    expect(partsOf({}, 0)).toEqual({});
    expect(partsOf({ methods: ['rsst', 'dense', 'oneshot', 'refill'], distill: 0 }, 0)).toEqual({});
  });

  it('counts the seeds of a rate up from the first one', () => {
    expect(
      partsOf({ seedsAt: { sizes: [{ rate: 0.7 }, { amount: 3e6 }], seeds: 3 }, distill: 0.5 }, 4),
    ).toEqual({
      seedsAt: [
        { rate: 0.7, seeds: [4, 5, 6] },
        { amount: 3e6, seeds: [4, 5, 6] },
      ],
      distill: { weight: 0.5 },
    });
  });
});

describe('tuneOf', () => {
  it('takes the only rate of the comparison, and a seed far from those counted from 0', () => {
    expect(tuneOf({ tuneLr: [1, 2] }, { rates: [0.7] })).toEqual({
      lrs: [1, 2],
      seed: 99,
      rate: 0.7,
    });
    const typed = { tuneLr: [1, 2], tuneSeed: 5, tuneRate: { rate: 0.9 } };
    expect(tuneOf(typed, { rates: [0.5, 0.7] })).toEqual({ lrs: [1, 2], seed: 5, rate: 0.9 });
  });

  it('takes the only budget, or the one that was typed', () => {
    const lrs = [1, 2];
    expect(tuneOf({ tuneLr: lrs }, { budget: 'macs', amounts: [3e6] })).toEqual({
      lrs,
      seed: 99,
      amount: 3e6,
    });
    const two = { budget: 'macs', amounts: [3e6, '0.3x'] } as const;
    expect(tuneOf({ tuneLr: lrs, tuneRate: { amount: '0.3x' } }, two)).toMatchObject({
      amount: '0.3x',
    });
    expect(() => tuneOf({ tuneLr: lrs }, two)).toThrow(
      '--tune-rate is missing, expected the size to choose learning rates at, such as one of 3M, 0.3x.',
    );
    expect(() => tuneOf({ tuneLr: lrs, tuneRate: { amount: 3e6 } }, { rates: [0.7] })).toThrow(
      '--tune-rate: got 3000000, expected a share to remove above 0 and below 1, such as 0.7',
    );
  });
});
