/** Options by name, as they come from JavaScript: what would be passed over in silence is refused. */
import { type OptionKind, type OptionKinds, checkOptions as check } from '@mamba-prune/libtorch';
import { type Failure, usageError } from './checks.js';
import { UsageError } from './errors.js';

export type { OptionKind, OptionKinds };

/**
 * As libtorch's, with the errors of this package.
 * @param fail - makes the error. By default a UsageError.
 * @throws UsageError naming the option and the known ones
 */
export function checkOptions(
  where: string,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
  fail: Failure = usageError,
): void {
  check(where, options, known, fail);
}

/**
 * `checkOptions` where there must be some.
 * @param needed - names of those that must be given
 */
export function requireOptions<K extends string>(
  where: string,
  options: unknown,
  known: Readonly<Record<K, OptionKind>>,
  needed: readonly NoInfer<K>[] = [],
  fail: Failure = usageError,
): void {
  if (options === undefined) {
    const [first = ''] = needed.length > 0 ? needed : Object.keys(known);
    throw fail(
      `${where}: got undefined in place of the options, expected an object such as { ${first}: ... }.`,
    );
  }
  checkOptions(where, options, known, fail);
  const given = options as Readonly<Record<string, unknown>>;
  const missing = needed.filter((name) => given[name] === undefined);
  if (missing.length === 0) return;
  throw fail(
    `${where}: got options without ${missing.map((name) => `\`${name}\``).join(', ')}, expected ${missing.length === 1 ? 'it' : 'them'} to be given.`,
  );
}

/** What a path must be. @throws UsageError naming what was given in its place */
export function requirePath(where: string, path: unknown, what: string): asserts path is string {
  if (typeof path === 'string' && path !== '') return;
  const got = path === '' ? 'an empty path' : path === null ? 'null' : typeof path;
  throw new UsageError(`${where}: got ${got}, expected the path of ${what}.`);
}
