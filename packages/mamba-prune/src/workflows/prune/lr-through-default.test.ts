import { describe, expect, it } from 'vitest';
import { decideThrough } from './lr-through.js';

const doomed = { units: 'doomed', strength: 5 } as const;
const on = { epochs: 3, byDefault: true } as const;

describe('one schedule through the cut by default', () => {
  it('is written down where it is taken', () => {
    expect(decideThrough(doomed, on)).toEqual({ ...doomed, lrThrough: true });
    expect(decideThrough(doomed, { ...on, byDefault: false })).toBe(doomed);
  });

  it.each([
    ['all units are regularised', { units: 'all' } as const, {}],
    ['nothing says which units are', {}, {}],
    ['nothing is trained after the cut', doomed, { epochs: 0 }],
    ['the kept units go back', doomed, { rewind: 'init' } as const],
  ])('is not taken where %s', (_what, rsst, changes) => {
    expect(decideThrough(rsst, { ...on, ...changes })).toBe(rsst);
  });

  it('is nothing to what is said, or to what a run began with', () => {
    const off = { ...doomed, lrThrough: false };
    expect(decideThrough(off, on)).toBe(off);
    expect(decideThrough(doomed, { ...on, begun: doomed })).toBe(doomed);
    const through = { ...doomed, lrThrough: true };
    expect(decideThrough(doomed, { ...on, begun: through })).toEqual(through);
    expect(decideThrough(off, { ...on, begun: through })).toBe(off);
  });
});
