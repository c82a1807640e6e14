import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { rateOfGroups } from '../../pruning/group-patterns.js';
import { type GroupFlags, groupOptions } from './groups.js';

function parsed(...argv: string[]): GroupFlags {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  for (const option of groupOptions()) command.addOption(option);
  return command.parse(argv, { from: 'user' }).opts();
}

const groups = [0, 1].flatMap((block) =>
  ['ssm', 'state', 'mlp'].map((kind) => ({ name: `blocks.${block}.${kind}`, kind })),
);
const kinds = ['ssm', 'mlp'];
const rates = (...argv: string[]) => rateOfGroups(parsed(...argv), groups, kinds);

describe('patterns of groups', () => {
  it('become rates by name, of the kinds that are cut alone', () => {
    expect(rates('--exclude', 'blocks.0.*')).toEqual({ 'blocks.0.ssm': 0, 'blocks.0.mlp': 0 });
    expect(rates('--rate-of', '*.ssm=0.5', '--rate-of', 'blocks.1.*=0.2')).toEqual({
      'blocks.0.ssm': 0.5,
      'blocks.1.ssm': 0.2,
      'blocks.1.mlp': 0.2,
    });
    // What is excluded stays so.
    expect(rates('--exclude', '*.ssm', '--rate-of', 'blocks.0.*=0.5')).toEqual({
      'blocks.0.ssm': 0,
      'blocks.1.ssm': 0,
      'blocks.0.mlp': 0.5,
    });
    expect(rates()).toBeUndefined();
  });

  it('that fit nothing are refused with the names there are', () => {
    expect(() => rates('--exclude', 'layer1.*')).toThrow(
      "`exclude`: got 'layer1.*', which is the name of no group. Name some of blocks.0.ssm, blocks.0.mlp, blocks.1.ssm, blocks.1.mlp.",
    );
    expect(() => rates('--rate-of', '*.state=0.5')).toThrow(
      "`rateOf`: got '*.state', which names groups of the kind state only, and these are not cut. Add the kind to `targets`",
    );
    expect(() => rates('--exclude', '*')).toThrow(
      '`exclude`: got patterns that leave all groups of ssm and mlp whole, expected some left to cut.',
    );
    expect(() => rates('--rate-of', '*=0')).toThrow('`rateOf`: got patterns that leave all');
    expect(() => rates('--exclude', '*.ssm', '--rate-of', '*.mlp=0')).toThrow(
      '`exclude` and `rateOf`: got patterns that leave all',
    );
  });
});

describe('the least width', () => {
  it('is a number of units, or a share', () => {
    expect(parsed('--min-width', '8')).toEqual({ minWidth: 8 });
    expect(parsed('--min-width', '12.5%')).toEqual({ minWidth: '12.5%' });
  });

  it.each([
    ['--min-width', '0'],
    ['--min-width', '150%'],
    ['--min-width', '1.5'],
    ['--rate-of', '*.ssm'],
    ['--rate-of', '*.ssm=1'],
    ['--rate-of', '=0.5'],
    ['--rate-of', '*.ssm='],
    ['--exclude', ' '],
  ])('and the others refuse %s %s', (flag, value) => {
    expect(() => parsed(flag, value)).toThrow(CommanderError);
  });
});
