// Which units of the first, dense model a pruned one still has, over any number of cuts.
import type { KeptUnits } from '../pruning/groups.js';

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

/** @throws RangeError for a text that `encodeUnits` does not write */
export function decodeUnits(text: string): number[] {
  if (text === '') return [];
  return text.split(',').flatMap((range) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    const first = Number(match?.[1] ?? NaN);
    const last = Number(match?.[2] ?? first);
    if (!(last >= first)) throw new RangeError(`kept units: got '${range}', expected 7 or 3-9`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
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
