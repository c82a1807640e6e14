/**
 * Modules of one's own that register families, data sets or importances: `--plugin FILE`, or `loadPlugin` in a
 * program. Such a module runs with all rights of the program; no file that is read ever makes one load.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UsageError } from './errors.js';

interface Plugin {
  /** As it was given: a path, or the name of a package. */
  readonly name: string;
  registered: number;
}

/** The module that is being loaded; what is registered meanwhile is its own. */
let loading: Plugin | undefined;
const loaded = new Set<string>();
/** What other processes need to know the same names. */
const modules = new Set<string>();

/**
 * Notes that something was registered.
 * @param said - the module that it says it comes from: a path, a file URL or a package
 * @returns what has to be loaded for it elsewhere; undefined where that is not known
 */
export function registeredBy(said: string | undefined): string | undefined {
  if (loading) loading.registered += 1;
  const module = said?.startsWith('file:') === true ? fileURLToPath(said) : (said ?? loading?.name);
  if (module !== undefined) modules.add(module);
  return module;
}

const variable = 'MAMBA_PRUNE_PLUGINS';

/** The variable of the environment by which processes that this one starts know its modules. */
export function pluginEnvironment(): Record<string, string> {
  return modules.size === 0 ? {} : { [variable]: [...modules].join(delimiter) };
}

/** The modules that the environment names, in `MAMBA_PRUNE_PLUGINS`, separated as in PATH. */
export const environmentPlugins = (env: Readonly<Record<string, string | undefined>>): string[] =>
  (env[variable] ?? '').split(delimiter).filter((name) => name !== '');

/**
 * Loads a module that registers something.
 * @param name - path of a file, or name of a package as `import` takes it from the current folder
 * @throws UsageError if there is no such module, if it fails, or if it registers nothing
 */
export async function loadPlugin(name: string): Promise<void> {
  const url = urlOf(name);
  if (loaded.has(url)) return;
  const plugin: Plugin = { name, registered: 0 };
  loading = plugin;
  try {
    await import(url);
  } catch (error) {
    throw new UsageError(`--plugin ${name}: it could not be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    loading = undefined;
  }
  // What it imports may have been loaded before, by itself or by another one: then it has nothing left to register.
  if (plugin.registered === 0 && modules.size === 0) {
    throw new UsageError(
      `--plugin ${name}: it registered nothing, expected a module that calls registerFamily, registerDataset or ` +
        `registerImportance. It has to import the mamba-prune that runs here: ${fileURLToPath(new URL('..', import.meta.url))}`,
    );
  }
  loaded.add(url);
}

function urlOf(name: string): string {
  const path = resolve(name);
  if (existsSync(path)) return pathToFileURL(path).href;
  if (/^\.{0,2}[/\\]|\.[cm]?[jt]s$/.test(name)) {
    throw new UsageError(
      `--plugin ${name}: ${path} does not exist, expected a module that registers a family, a data set or an importance.`,
    );
  }
  try {
    // Packages of the project that the program is started in, not of the place where it is installed.
    return pathToFileURL(createRequire(resolve('index.js')).resolve(name)).href;
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
    throw new UsageError(
      isThere
        ? `--plugin ${name}: the package has no entry that can be found by its name alone. Give the file: ${join('node_modules', name, '...')}`
        : `--plugin ${name}: there is no such file, and no package of that name in ${resolve('node_modules')}.`,
      { cause: error },
    );
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
