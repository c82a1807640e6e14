import { describe, expect, it } from 'vitest';
import { remainingParts, wantedSince, withWanted } from './wanted.js';

const units = (...list: number[]) => ({ 'blocks.0.mlp': list });
const none = { wanted: undefined };
const first = { wanted: withWanted(none, 2, { epoch: 0, kept: units(0, 1) }) };
const second = { wanted: withWanted(first, 2, { epoch: 3, kept: units(0, 2) }) };
const third = { wanted: withWanted(second, 2, { epoch: 6, kept: units(1, 2) }) };

describe('the units wanted by a round', () => {
  it('are known for every moment at which they were chosen', () => {
    expect(first.wanted).toEqual({ round: 2, kept: units(0, 1) });
    expect([0, 3, 6].map((epoch) => wantedSince(third, 2, epoch))).toEqual([
      units(0, 1),
      units(0, 2),
      units(1, 2),
    ]);
    // The last ones are those that the cut keeps.
    expect(third.wanted.kept).toEqual(units(1, 2));
    expect(wantedSince(third, 2, 4)).toBeUndefined();
    expect(wantedSince(third, 3, 3)).toBeUndefined();
    expect(wantedSince(none, 1, 0)).toBeUndefined();
  });

  it('keep the norms of the first choice, as those chosen anew have shrunk already', () => {
    const whole = { wanted: withWanted(none, 2, { epoch: 0, kept: units(0), norms: { mlp: 8 } }) };
    const anew = withWanted(whole, 2, { epoch: 3, kept: units(1), norms: { mlp: 0.1 } });
    expect(anew.norms).toEqual({ mlp: 8 });
    expect(withWanted(whole, 3, { epoch: 0, kept: units(1), norms: { mlp: 7 } }).norms).toEqual({
      mlp: 7,
    });
  });

  it('lose the choices that come after one that is made again', () => {
    const again = { wanted: withWanted(third, 2, { epoch: 3, kept: units(0, 3) }) };
    expect(wantedSince(again, 2, 6)).toBeUndefined();
    expect(wantedSince(again, 2, 0)).toEqual(units(0, 1));
    expect(withWanted(third, 3, { epoch: 0, kept: units(5) })).toEqual({
      round: 3,
      kept: units(5),
    });
  });
});

describe('the parts of a regularised training', () => {
  const parts = (record: Parameters<typeof remainingParts>[0], done: number) =>
    remainingParts(record, 2, { epochs: 8, every: 3, done }).map(({ from, until }) => [
      from,
      until,
    ]);

  it('are all of it at the beginning, the last one shorter', () => {
    expect(parts(none, 0)).toEqual([
      [0, 3],
      [3, 6],
      [6, 8],
    ]);
    expect(remainingParts(none, 2, { epochs: 8, every: 8, done: 5 })).toEqual([
      { from: 0, until: 8 },
    ]);
  });

  it('go on with the one in progress, and open one again whose units are still to be chosen by its end', () => {
    expect(parts(second, 4)).toEqual([
      [3, 6],
      [6, 8],
    ]);
    expect(parts(second, 6)).toEqual([
      [3, 6],
      [6, 8],
    ]);
    expect(parts(third, 6)).toEqual([[6, 8]]);
    expect(parts(third, 8)).toEqual([[6, 8]]);
    expect(parts(third, 2)).toEqual([
      [0, 3],
      [3, 6],
      [6, 8],
    ]);
  });
});
