import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { amountText } from '../../workflows/compare/budget.js';
import { amountsOption, anyAmount, budgetOptions } from './amounts.js';

/** What the flags make of their values. */
function parsed(...argv: string[]): Record<string, unknown> {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  for (const option of budgetOptions()) command.addOption(option);
  return command.parse(argv, { from: 'user' }).opts();
}

describe('amounts of a budget', () => {
  it('are numbers in thousands, sizes in powers of 1000 or 1024, and shares', () => {
    expect(parsed('--target-macs', '3M')).toEqual({ targetMacs: 3e6 });
    expect(parsed('--target-macs', '1.5g')).toEqual({ targetMacs: 1.5e9 });
    expect(parsed('--target-params', '.3x')).toEqual({ targetParams: '0.3x' });
    expect(parsed('--target-params', '1200000')).toEqual({ targetParams: 1.2e6 });
    expect(parsed('--target-file', '5MB')).toEqual({ targetFile: 5e6 });
    expect(parsed('--target-file', '4 MiB')).toEqual({ targetFile: 4 * 2 ** 20 });
    expect(parsed('--target-file', '500KiB')).toEqual({ targetFile: 512_000 });
    // 1.1 times a million is 1100000.0000000002 in binary.
    expect(parsed('--target-macs', '1.1M')).toEqual({ targetMacs: 1_100_000 });
  });

  it('are times of a batch', () => {
    const latency = (text: string) => parsed('--target-latency', text)['targetLatency'];
    expect(latency('2ms@1')).toEqual({ ms: 2, batch: 1 });
    expect(latency('30ms@64')).toEqual({ ms: 30, batch: 64 });
    expect(latency('1.5s@8')).toEqual({ ms: 1500, batch: 8 });
    expect(latency('0.5x@64')).toEqual({ ms: '0.5x', batch: 64 });
    expect(latency('2ms')).toEqual({ ms: 2, batch: 1 });
  });

  it.each([
    ['--target-macs', '30%'],
    ['--target-macs', '0'],
    ['--target-macs', '5MB'],
    ['--target-macs', '1x'],
    ['--target-params', '-3M'],
    ['--target-file', '5TB'],
    ['--target-latency', '2@x'],
    ['--target-latency', '2ms@0'],
    ['--target-latency', '2ms@1@2'],
    ['--target-latency', '2MB'],
  ])('refuses %s %s', (flag, value) => {
    expect(() => parsed(flag, value)).toThrow(CommanderError);
  });

  it('say all of what is taken where they refuse', () => {
    expect(() => parsed('--target-latency', '2ms@65537')).toThrow(
      'Expected a time above 0ms, or a share above 0x and below 1x, and a batch size from 1 to 65536, such as',
    );
    expect(parsed('--target-latency', '2ms@65536')).toEqual({
      targetLatency: { ms: 2, batch: 65_536 },
    });
    expect(() => parsed('--target-file', '1x')).toThrow(
      'Expected a number above 0 and at most 1000000000000000, such as 5MB or 4MiB, or a share of the model above 0x and below 1x',
    );
  });
});

describe('lists of amounts', () => {
  const list = (text: string): unknown => {
    const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    command.addOption(amountsOption('--target-file <size,...>', 'what', 'file'));
    return command.parse(['--target-file', text], { from: 'user' }).opts()['targetFile'];
  };

  it('are numbers and shares together', () => {
    expect(list('5MB, 4MiB,0.3x')).toEqual([5e6, 4 * 2 ** 20, '0.3x']);
    expect(list('500000')).toEqual([500_000]);
  });

  it('are refused as one amount is, with the part that is none', () => {
    const expected =
      'Expected a number above 0 and at most 1000000000000000, such as 5MB or 4MiB, or a share of the model above 0x and below 1x, such as 0.3x.';
    expect(() => list('5TB')).toThrow(`is invalid. ${expected}`);
    expect(() => list('5MB,1x')).toThrow(`Got '1x'. ${expected}`);
    expect(() => list('5MB,')).toThrow(`Got ''. ${expected}`);
  });

  it('have no amount twice, however it is typed', () => {
    expect(() => list('1MiB,1024KiB')).toThrow('Got 1024KiB twice, expected it once.');
    expect(() => list('0.3x,.30x')).toThrow('Got .30x twice, expected it once.');
  });
});

describe('the text of an amount', () => {
  it.each([
    ['macs', '3M'],
    ['macs', '1.1M'],
    ['macs', '2.5G'],
    ['params', '1234567'],
    ['params', '250K'],
    ['file', '4MiB'],
    ['file', '5MB'],
    ['file', '100KiB'],
    ['file', '.5x'],
  ] as const)('of %s is what was typed: %s', (budget, text) => {
    expect(amountText(budget, anyAmount(text) ?? 0)).toBe(text === '.5x' ? '0.5x' : text);
  });
});
