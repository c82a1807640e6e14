/**
 * Modules of one's own that register families, data sets or importances: `--plugin FILE`, or `loadPlugin` in a
 * program. Such a module runs with all rights of the program; no file that is read ever makes one load.
 */
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UsageError } from './errors.js';
import { requirePath } from './option-checks.js';
import { printable, printableLine } from './printable.js';

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
  const name = said?.startsWith('file:') === true ? pathOfUrl(said) : (said ?? loading?.name);
  // Files and runs are opened from other folders too.
  const module = name !== undefined && isFile(resolve(name)) ? resolve(name) : name;
  if (module !== undefined) modules.add(module);
  return module;
}

function pathOfUrl(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new UsageError(
      `module: got ${printableLine(url)}, expected a path, a package or the URL of a file of this machine: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

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
  requirePath('loadPlugin', name, 'a module, or the name of a package');
  await loadModule(name, `loadPlugin: ${name}`);
}

/**
 * The modules that `--plugin` names.
 * @throws UsageError as `loadPlugin`, naming the flag
 */
export async function loadFromFlag(name: string): Promise<void> {
  requirePath('--plugin', name, 'a module, or the name of a package');
  await loadModule(name, `--plugin ${name}`);
}

/**
 * The modules that the environment names.
 * @throws UsageError as `loadPlugin`
 */
export async function loadFromEnvironment(name: string): Promise<void> {
  await loadModule(name, `${variable}: ${name}`);
}

/** @param where - who asked for it, for the errors */
async function loadModule(name: string, where: string): Promise<void> {
  const url = urlOf(name, where);
  if (loaded.has(url)) return;
  const plugin: Plugin = { name, registered: 0 };
  loading = plugin;
  // Where a module waits for what never comes, Node.js ends without a word.
  const endless = (): void => {
    process.stderr.write(
      `${printable(where)}: it never ended loading: it waits for something that never comes.\n`,
    );
  };
  process.once('exit', endless);
  try {
    await import(url);
  } catch (error) {
    throw new UsageError(`${where}: it could not be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    process.off('exit', endless);
    loading = undefined;
  }
  // What it imports may have been loaded before, by itself or by another one: then it has nothing left to register.
  if (plugin.registered === 0 && modules.size === 0) {
    throw new UsageError(
      `${where}: it registered nothing, expected a module that calls registerFamily, registerDataset or ` +
        `registerImportance. It has to import the mamba-prune that runs here: ${fileURLToPath(new URL('..', import.meta.url))}`,
    );
  }
  loaded.add(url);
}

function urlOf(name: string, where: string): string {
  const path = resolve(name);
  if (isFile(path)) return pathToFileURL(path).href;
  if (/^\.{1,2}$|^\.{0,2}[/\\]|\.[cm]?[jt]s$/.test(name)) {
    const what = existsSync(path) ? 'is no file' : 'does not exist';
    throw new UsageError(
      `${where}: ${path} ${what}, expected a module that registers a family, a data set or an importance.`,
    );
  }
  try {
    // Packages of the project that the program is started in, not of the place where it is installed.
    return pathToFileURL(createRequire(resolve('index.js')).resolve(name)).href;
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
    throw new UsageError(
      isThere
        ? `${where}: the package has no entry that can be found by its name alone. Give the file: ${join('node_modules', name, '...')}`
        : `${where}: there is no such file, and no package of that name in ${resolve('node_modules')}.`,
      { cause: error },
    );
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
