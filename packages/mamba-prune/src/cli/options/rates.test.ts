import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { ratesOf } from './rates.js';

const mamba = [
  { kind: 'ssm', optional: false },
  { kind: 'state', optional: true },
  { kind: 'dt_rank', optional: true },
  { kind: 'mlp', optional: false },
];
const vit = [
  { kind: 'heads', optional: false },
  { kind: 'mlp', optional: false },
];

describe('rates', () => {
  it.each([
    [{}, { ssm: 0.7, mlp: 0.7 }],
    [{ rate: 0.5 }, { ssm: 0.5, mlp: 0.5 }],
    [
      { rate: 0.5, mlpRate: 0 },
      { ssm: 0.5, mlp: 0 },
    ],
    [
      { target: 'both', ssmRate: 0.1 },
      { ssm: 0.1, mlp: 0.7 },
    ],
    [{ target: 'mlp' }, { mlp: 0.7 }],
    [
      { target: 'all', rate: 0.3 },
      { ssm: 0.3, state: 0.3, dt_rank: 0.3, mlp: 0.3 },
    ],
    [
      { target: 'mlp, state', stateRate: 0.2 },
      { state: 0.2, mlp: 0.7 },
    ],
    // Optional kinds are cut when their rate is typed, and only then.
    [{ dtRankRate: 0.5 }, { ssm: 0.7, dt_rank: 0.5, mlp: 0.7 }],
  ])('%j of a Mamba are %j', (flags, rates) => {
    expect(ratesOf(flags, mamba)).toEqual(rates);
  });

  it('of another family are those of its kinds', () => {
    expect(ratesOf({ headsRate: 0.5 }, vit)).toEqual({ heads: 0.5, mlp: 0.7 });
    expect(ratesOf({ rate: 0.25 }, [{ kind: 'channels', optional: false }])).toEqual({
      channels: 0.25,
    });
  });

  it.each([
    [
      { target: 'ssm', mlpRate: 0.5 },
      /got --mlp-rate, but --target ssm leaves the mlp groups alone\. Use --target ssm,mlp/,
    ],
    [
      { headsRate: 0.5 },
      /got --heads-rate, but the model has no groups of the kind heads, only ssm, state, dt_rank, mlp/,
    ],
    [
      { target: 'stat' },
      /--target: got 'stat', expected both, all, or some of ssm, state, dt_rank, mlp[^]*Did you mean state\?/,
    ],
    [{ target: 'heads' }, /--target: got 'heads'/],
    [
      { rate: 0.5, ssmRate: 0.3, mlpRate: 0.2 },
      /got --rate, but --ssm-rate and --mlp-rate already give every kind that is cut its rate\. Leave it out/,
    ],
    [{ target: 'ssm', rate: 0.5, ssmRate: 0 }, /got --rate, but --ssm-rate already gives/],
  ])('%j are refused for a Mamba', (flags, message) => {
    expect(() => ratesOf(flags, mamba)).toThrow(UsageError);
    expect(() => ratesOf(flags, mamba)).toThrow(message);
  });
});
