// From the rounds of a case to its row: medians, how many times as fast, and the share of what the machine allows.
import { median } from '../median.mjs';
import { limitOf } from './limits.mjs';

const known = (list) => list.filter((ms) => ms !== undefined);

/** @returns one peer beside ours, of milliseconds; undefined where no round has both */
export function beside(rounds, peer) {
  const both = rounds.filter((round) => round.ours !== undefined && round[peer] !== undefined);
  if (both.length === 0) return undefined;
  const ratios = both.map((round) => round[peer] / round.ours);
  const timesAsFast = {
    median: median(ratios),
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
  };
  return { ms: median(both.map((round) => round[peer])), timesAsFast };
}

/**
 * @param one - the case
 * @param rounds - milliseconds of `ours`, `torch` and `onnx` in each; what was not measured is undefined
 * @param counts - `macs` of one image and `parameters`
 * @param rates - of the machine, as `limitOf` takes them; undefined if they were not measured
 * @returns the row; ratios are those of a round, since what slows a machine for a while slows both sides of it
 */
export function rowOf(one, rounds, counts, rates) {
  const { name, group, title, dense, what, batch } = one;
  const ours = known(rounds.map((round) => round.ours));
  const oursMs = ours.length === 0 ? undefined : median(ours);
  const limit = rates && limitOf(one, counts, rates);
  return {
    ...{ name, group, title, dense, what, batch, ...counts, rounds, oursMs },
    torch: beside(rounds, 'torch'),
    onnx: beside(rounds, 'onnx'),
    limit,
    share: limit && oursMs !== undefined ? limit.ms / oursMs : undefined,
  };
}
