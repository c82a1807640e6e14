// Modules that register things are loaded before the command line is read: what they register are values of its flags.
import { UsageError } from '../errors.js';
import { families } from '../models/families.js';
import type { Family } from '../models/family.js';
import { familyFlags } from '../models/family-checks.js';
import { environmentPlugins, loadFromEnvironment, loadFromFlag } from '../plugins.js';

/** The modules that --plugin names, wherever it stands. */
export function pluginsIn(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const words = end < 0 ? argv : argv.slice(0, end);
  return words.flatMap((word, i) => {
    if (word.startsWith('--plugin=')) return [word.slice('--plugin='.length)];
    // Without a value the command says so.
    return word === '--plugin' && words[i + 1] !== undefined ? [words[i + 1] as string] : [];
  });
}

/**
 * @param flags - those that the program has without any module; asked for only where there is one
 * @throws UsageError for one that cannot be loaded or registers nothing, or whose family takes a flag of a command
 */
export async function loadPlugins(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  flags: () => Promise<ReadonlySet<string>>,
): Promise<void> {
  const modules = [
    ...environmentPlugins(env).map((name) => ({ name, load: loadFromEnvironment })),
    ...pluginsIn(argv).map((name) => ({ name, load: loadFromFlag })),
  ];
  if (modules.length === 0) return;
  const taken = await flags();
  // One after the other: a module may build on what another has registered.
  for (const { name, load } of modules) {
    const before = families();
    await load(name);
    checkFlags(name, before, taken);
  }
}

/** Flags of families are told apart when one is registered; here it is those of the commands. */
function checkFlags(plugin: string, before: readonly Family[], taken: ReadonlySet<string>): void {
  const shared = new Set(before.flatMap(familyFlags).map(({ flag }) => flag));
  const found = families()
    .filter((family) => !before.includes(family))
    .flatMap(familyFlags)
    .find(({ flag }) => taken.has(flag) && !shared.has(flag));
  if (!found) return;
  const { flag, means, title } = found;
  throw new UsageError(
    `--plugin ${plugin}: the flag ${flag} of ${means} of ${title} is one of the commands' own. Choose another one.`,
  );
}
