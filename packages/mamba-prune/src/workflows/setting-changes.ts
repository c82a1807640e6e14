// In which settings two runs differ, for messages.
import { stableJson } from '../training/options.js';

type Settings = Readonly<Record<string, unknown>>;

/**
 * `recipe.lr: got 0.1, expected 0.01`, one for each setting that differs, by its whole name.
 * @param names - that are looked at. By default those of both; within a setting that has some of its own, all of them
 */
export function settingChanges(
  now: Settings,
  before: Settings,
  names: Iterable<string> = new Set([...Object.keys(now), ...Object.keys(before)]),
): string[] {
  return [...names].flatMap((name): string[] => {
    const [given, expected] = [now[name], before[name]];
    const [got, wanted] = [stableJson(given), stableJson(expected)];
    if (got === wanted) return [];
    // Where one of the two has none of a group, what is in the other was said.
    const [a, b] = [given === undefined ? {} : given, expected === undefined ? {} : expected];
    const within =
      isGroup(a) && isGroup(b) ? settingChanges(a, b).map((change) => `${name}.${change}`) : [];
    if (within.length > 0) return within;
    return [`${name}: got ${got}, expected ${wanted}`];
  });
}

const isGroup = (value: unknown): value is Settings =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
