// Modules that register things are loaded before the command line is read: what they register are values of its flags.
import { environmentPlugins, loadPlugin } from '../plugins.js';

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

/** @throws UsageError for one that cannot be loaded or registers nothing */
export async function loadPlugins(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  // One after the other: a module may build on what another has registered.
  for (const name of [...environmentPlugins(env), ...pluginsIn(argv)]) await loadPlugin(name);
}
