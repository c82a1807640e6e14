// What a comparison that goes on says of flags that are not those that it began with.
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { differences } from '../../workflows/compare/changed-settings.js';
import type { CompareSettings } from '../../workflows/compare/settings.js';
import { addCompareCommand } from '../commands/compare.js';
import { inFlags } from '../flag-spelling.js';
import { fakeContext } from '../testing/fake-context.js';
import { requestOf } from './compare-request.js';
import type { CompareOptions } from './compare.js';

const groups = ['blocks.0.ssm', 'blocks.0.mlp', 'blocks.1.ssm', 'blocks.1.mlp'];

function parsed(words: readonly string[]) {
  const program = new Command();
  const { io } = fakeContext().context;
  addCompareCommand(program, { io, argv: [], current: '', flags: [] });
  const [command] = program.commands;
  if (!command) throw new Error('no command');
  command.action(() => undefined);
  program.parse(['compare', ...words], { from: 'user' });
  const options = command.opts<CompareOptions>();
  const typed = Object.entries(options).filter(
    ([name]) => command.getOptionValueSource(name) === 'cli',
  );
  const flags = command.options.flatMap(({ long }) => long ?? []);
  return { flags, options, given: Object.fromEntries(typed) as Partial<CompareOptions> };
}

/** As far as flags decide them, of a model of two blocks with a dense model that costs 10 million MACs. */
async function settingsOf(words: readonly string[]): Promise<CompareSettings> {
  const { options, given } = parsed(words);
  const { exclude = [], rateOf = [], amounts, ...request } = await requestOf({ options, given });
  const own = [
    ...rateOf.flatMap(({ pattern, rate }) =>
      groups.filter((name) => name.endsWith(pattern.replace('*', ''))).map((name) => [name, rate]),
    ),
    ...exclude.flatMap((pattern) =>
      groups
        .filter((name) => name.startsWith(pattern.replace('*', '')))
        .map((name) => [name, 0] as const),
    ),
  ];
  return {
    ...request,
    rates: request.rates ?? (amounts ?? []).map((amount) => 1 - Number(amount) / 1e7),
    targets: request.targets === 'all' ? ['ssm', 'mlp', 'state'] : (request.targets ?? ['ssm']),
    threads: 1,
    dense: request.dense?.map((path) => ({ path, sha256: path })),
    cut: {
      importance: 'taylor',
      ...request.cut,
      ...(own.length > 0 && { rateOf: Object.fromEntries(own) as Record<string, number> }),
    },
    refill: request.refill,
    seedsAt: undefined,
  };
}

const base = ['--dataset', 'cifar10'];

async function changes(before: string, now: string): Promise<string[]> {
  const [old, given] = [before, now].map((text) => text.split(' ').filter((word) => word !== ''));
  const { flags } = parsed([...base, ...(given ?? [])]);
  const said = differences(
    await settingsOf([...base, ...(old ?? [])]),
    await settingsOf([...base, ...(given ?? [])]),
  );
  return said.map((line) => inFlags(`compare: x: ${line}`, flags).replace('compare: x: ', ''));
}

describe('flags that a comparison did not begin with', () => {
  it.each<[string, string, ...string[]]>([
    ['--compensate', '--compensate fold', '--compensate: got "fold", expected "stream"'],
    ['', '--compensate', '--compensate: got "stream", expected nothing'],
    ['--compensate', '', '--compensate: got nothing, expected "stream"'],
    [
      '--compensate',
      '--compensate --compensate-images 512',
      '--compensate-images: got 512, expected 2048',
    ],
    [
      '--exclude blocks.0.*',
      '--exclude blocks.1.*',
      '--exclude: got ["blocks.1.mlp","blocks.1.ssm"], expected ["blocks.0.mlp","blocks.0.ssm"]',
    ],
    ['', '--exclude blocks.0.ssm', '--exclude: got ["blocks.0.ssm"], expected nothing'],
    // A group that stays whole no more has the rate that was typed all along.
    [
      '--exclude blocks.0.* --rate-of *.ssm=0.5',
      '--rate-of *.ssm=0.5',
      '--exclude: got nothing, expected ["blocks.0.mlp","blocks.0.ssm"]',
    ],
    [
      '--rate-of *.ssm=0.5',
      '--rate-of *.ssm=0.4',
      '--rate-of: got ["blocks.0.ssm=0.4","blocks.1.ssm=0.4"], expected ["blocks.0.ssm=0.5","blocks.1.ssm=0.5"]',
    ],
    ['', '--target-macs 3M', '--target-macs: got sizes by it, expected sizes by --rate'],
    ['--target-params 1M', '', '--rate: got sizes by it, expected sizes by --target-params'],
    ['', '--arch vit_tiny', '--arch: got "vit_tiny", expected "mamba_tiny"'],
    ['', '--depth 3', '--depth: got 3, expected 12'],
    ['', '--image-size 64', '--image-size: got 64, expected nothing'],
    ['', '--batch-size 64', '--batch-size: got 64, expected 128'],
    ['', '--epochs 20', '--epochs: got 20, expected 30'],
    ['', '--finetune-epochs 20', '--finetune-epochs: got 20, expected 15'],
    ['', '--reg-epochs 3', '--reg-epochs: got 3, expected 7'],
    ['', '--warmup-epochs 1', '--warmup-epochs: got 1, expected 3'],
    ['', '--lr 2e-3', '--lr: got 0.002, expected 0.001'],
    ['', '--finetune-lr 2e-3', '--finetune-lr: got 0.002, expected 0.0005'],
    ['', '--optimizer sgd', '--optimizer: got "sgd", expected "adamw"'],
    ['', '--clip-grad 2', '--clip-grad: got 2, expected 1'],
    ['', '--ema 0.99', '--ema: got 0.99, expected nothing'],
    ['', '--weight-decay 0.1', '--weight-decay: got 0.1, expected 0.05'],
    ['', '--train-images 500', '--train-images: got 500, expected nothing'],
    ['', '--test-images 500', '--test-images: got 500, expected nothing'],
    ['', '--mixup 0.5', '--mixup: got 0.5, expected nothing'],
    ['', '--target all', '--target: got ["ssm","mlp","state"], expected ["ssm"]'],
    ['', '--importance l1', '--importance: got "l1", expected "taylor"'],
    ['', '--score-batches 3', '--score-batches: got 3, expected 8'],
    ['', '--ranking layer', '--ranking: got "layer", expected "global"'],
    ['', '--round-to 8', '--round-to: got 8, expected 1'],
    ['', '--max-rate 0.9', '--max-rate: got 0.9, expected 1'],
    ['', '--min-width 4', '--min-width: got 4, expected 1'],
    ['', '--rank-by score-per-cost', '--rank-by: got "score-per-cost", expected "score"'],
    ['--fillback 0.2', '--fillback 0.3', '--fillback: got 0.3, expected 0.2'],
    ['', '--refill-score magnitude', '--refill-score: got "magnitude", expected "gradient"'],
    ['', '--reg-units all', '--reg-units: got "all", expected "doomed"'],
    ['', '--reg-strength 5', '--reg-strength: got 5, expected 1000'],
    ['', '--reg-apply shrink', '--reg-apply: got "shrink", expected "proximal"'],
    ['', '--reg-norm l1', '--reg-norm: got "l1", expected "group"'],
    ['', '--lr-through', '--lr-through: got true, expected false'],
    ['--lr-through', '--lr-through --cuts 2', '--cuts: got 2, expected 1'],
    ['', '--rechoose 2', '--rechoose: got 2, expected nothing'],
    ['', '--distill 0.5', '--distill: got 0.5, expected 0'],
    [
      '--distill 0.5',
      '--distill 0.5 --temperature 2 --distill-through',
      '--temperature: got 2, expected 1',
      '--distill-through: got true, expected false',
    ],
    ['', '--lr-of rsst=1e-3', '--lr-of: got rsst=0.001, expected none of rsst'],
    ['--lr-of rsst=2e-3', '--lr-of rsst=1e-3', '--lr-of: got rsst=0.001, expected rsst=0.002'],
    ['', '--dense a.safetensors', '--dense: got a.safetensors, expected nothing'],
    [
      '--dense a.safetensors',
      '--dense b.safetensors --dense c.safetensors',
      '--dense: got one for each seed, expected a.safetensors',
    ],
    [
      '--classes a,b --dense d.pt',
      '--classes a,c --dense d.pt',
      '--classes: got ["a","c"], expected ["a","b"]',
    ],
    ['', '--dataset cifar100', '--dataset: got "cifar100", expected "cifar10"'],
    ['', '--precision bf16', '--precision: got "bf16", expected nothing'],
    ['', '--plain-epochs 3', '--plain-epochs: got 3, expected nothing'],
    ['--schedule constant', '', '--schedule: got "cosine", expected "constant"'],
  ])('are named as they are typed: %j, then %j', async (before, now, ...lines) => {
    expect(await changes(before, now)).toEqual(lines);
  });

  it('are none where a default is typed, and where methods are added with rates of their own', async () => {
    const usual =
      '--batch-size 128 --optimizer adamw --reg-schedule exp_custom_exponents --cuts 1 --min-width 1 --ranking global';
    expect(await changes('', usual)).toEqual([]);
    expect(await changes('--methods oneshot', '--methods oneshot,rsst --lr-of rsst=1e-3')).toEqual(
      [],
    );
    expect(await changes('', '--data elsewhere --jobs 3 --seeds 9 --rate 0.5')).toEqual([]);
    expect(await changes('--target-macs 3M', '--target-macs 3M,2M')).toEqual([]);
  });
});
