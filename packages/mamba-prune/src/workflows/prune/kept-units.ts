// Which units of the first, dense model a pruned one still has, over any number of cuts.
import type { KeptUnits } from '../../models/groups.js';

/** `0-3,7,9-12`: how model files store increasing indices. */
export function encodeUnits(units: readonly number[]): string {
  const ranges: string[] = [];
  for (let i = 0; i < units.length;) {
    const first = units[i] as number;
    let last = first;
    while (units[i + 1] === last + 1) {
      last++;
      i++;
    }
    ranges.push(first === last ? String(first) : `${first}-${last}`);
    i++;
  }
  return ranges.join(',');
}

/** More than any layer has: a few bytes of a file must not become a list without end. */
export const maxUnits = 2 ** 24;

/** @throws RangeError for a text that `encodeUnits` does not write, or for units from 2^24 on */
export function decodeUnits(text: string): number[] {
  const units: number[] = [];
  if (text === '') return units;
  let next = 0;
  for (const range of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    const first = Number(match?.[1] ?? NaN);
    const last = Number(match?.[2] ?? first);
    if (!(last >= first)) {
      throw new RangeError(`kept units: got '${range.slice(0, 40)}', expected 7 or 3-9`);
    }
    if (first < next || last >= maxUnits) {
      throw new RangeError(
        `kept units: got '${range.slice(0, 40)}' after unit ${next - 1}, expected increasing units below ${maxUnits}`,
      );
    }
    for (let unit = first; unit <= last; unit++) units.push(unit);
    next = last + 1;
  }
  return units;
}

/** The units of the dense model that `kept`, units of a model with `earlier` kept, stands for. */
export function composeKept(earlier: KeptUnits, kept: KeptUnits): Map<string, readonly number[]> {
  const result = new Map(earlier);
  for (const [name, units] of kept) {
    const before = earlier.get(name);
    result.set(name, before ? units.map((unit) => before[unit] as number) : units);
  }
  return result;
}

/** From a model's history: what its last cut left of the dense model. */
export function keptInHistory(history: readonly Record<string, unknown>[]): KeptUnits {
  const step = history.findLast(({ kept }) => typeof kept === 'object' && kept !== null);
  return new Map(
    Object.entries((step?.['kept'] ?? {}) as Record<string, unknown>).map(([name, text]) => [
      name,
      decodeUnits(String(text)),
    ]),
  );
}

export function encodeKept(kept: KeptUnits): Record<string, string> {
  return Object.fromEntries(Array.from(kept, ([name, units]) => [name, encodeUnits(units)]));
}
