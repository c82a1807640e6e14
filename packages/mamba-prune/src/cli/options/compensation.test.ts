import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { type CompensationFlags, compensateOf, compensationOptions } from './compensation.js';

function typed(...args: string[]): CompensationFlags {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  for (const option of compensationOptions()) command.addOption(option);
  return command.parse(args, { from: 'user' }).opts();
}

describe('the flags of compensation', () => {
  it('become settings', () => {
    expect(compensateOf(typed())).toEqual({});
    expect(compensateOf(typed('--compensate'))).toEqual({ compensate: {} });
    expect(compensateOf(typed('--compensate', 'fold', '--compensate-images', '64'))).toEqual({
      compensate: { target: 'fold', images: 64 },
    });
  });

  it('go over what a run has', () => {
    const stored = { target: 'asymmetric', images: 99 } as const;
    expect(compensateOf(typed(), stored)).toEqual({ compensate: stored });
    expect(compensateOf(typed('--compensate-images', '64'), stored)).toEqual({
      compensate: { target: 'asymmetric', images: 64 },
    });
  });

  it('are refused where they are wrong or would do nothing', () => {
    expect(() => typed('--compensate', 'foldd')).toThrow(/Expected stream, asymmetric or fold/);
    expect(() => typed('--compensate-images', '9')).toThrow(/Expected an integer from 10/);
    expect(() => compensateOf(typed('--compensate-images', '64'))).toThrow(
      /images to compensate with, 64, but no compensation. Give --compensate/,
    );
  });
});
