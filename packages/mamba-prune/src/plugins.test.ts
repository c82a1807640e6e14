import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadPlugins, pluginsIn } from './cli/plugin-flags.js';
import { count } from './models/common-options.js';
import { UsageError } from './errors.js';
import { families, moduleOf, registerFamily } from './models/families.js';
import { ownFamily } from './models/testing/own-family.js';
import { environmentPlugins, loadPlugin } from './plugins.js';

const folder = mkdtempSync(join(tmpdir(), 'plugins-'));
mkdirSync(folder, { recursive: true });
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const written = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const noFlags = async () => Promise.resolve(new Set<string>());

describe('loadPlugin', () => {
  it('says which file there is not', async () => {
    const path = join(folder, 'nowhere.mjs');
    await expect(loadPlugin(path)).rejects.toThrow(
      `loadPlugin: ${path}: ${path} does not exist, expected a module that registers`,
    );
  });

  it('says which package there is not', async () => {
    await expect(loadPlugin('no-such-package-anywhere')).rejects.toThrow(
      /loadPlugin: no-such-package-anywhere: there is no such file, and no package of that name in/,
    );
  });

  it('says why a module could not be loaded', async () => {
    const path = written('broken.mjs', "throw new Error('out of luck');\n");
    await expect(loadPlugin(path)).rejects.toMatchObject({
      name: 'UsageError',
      message: `loadPlugin: ${path}: it could not be loaded: out of luck`,
    });
  });

  it('refuses a module that registers nothing', async () => {
    const path = written('idle.mjs', 'export const nothing = 0;\n');
    await expect(loadPlugin(path)).rejects.toThrow(/it registered nothing, expected a module that/);
  });
});

describe('loadPlugin refuses', () => {
  it.each([undefined, 3, {}, ''])('%j in place of a module', async (name) => {
    await expect(loadPlugin(name as string)).rejects.toThrow(
      /^loadPlugin: got .*, expected the path of a module, or the name of a package\.$/,
    );
  });

  it('a folder', async () => {
    await expect(loadPlugin(folder)).rejects.toThrow(
      `loadPlugin: ${folder}: ${folder} is no file, expected`,
    );
    await expect(loadPlugin(`${folder}/.`)).rejects.toThrow(UsageError);
  });
});

describe('a module', () => {
  it('is recorded by its absolute path, however it was given', async () => {
    Object.assign(globalThis, {
      registerFar: () => {
        registerFamily(ownFamily('far'));
      },
    });
    const path = written('far.mjs', 'globalThis.registerFar();\n');
    await loadPlugin(relative('.', path));
    expect(moduleOf('far')).toBe(path);
  });

  it('that says an address of another machine is refused, and not registered', () => {
    const family = ownFamily('remote', { module: 'file://elsewhere/a.mjs' });
    expect(() => {
      registerFamily(family);
    }).toThrow('module: got file://elsewhere/a.mjs, expected a path');
    expect(families()).not.toContain(family);
  });

  it('of the environment is named as such', async () => {
    const env = { MAMBA_PRUNE_PLUGINS: 'no-such-package' };
    await expect(loadPlugins([], env, noFlags)).rejects.toThrow(
      /^MAMBA_PRUNE_PLUGINS: no-such-package: there is no such file/,
    );
  });

  it('that never ends loading is named at the end of the process', () => {
    const path = written('endless.mjs', 'await new Promise(() => {});\n');
    const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
    const { stderr } = spawnSync(process.execPath, [main, '--help', '--plugin', path], {
      encoding: 'utf8',
    });
    expect(stderr).toContain(`--plugin ${path}: it never ended loading`);
  });
});

describe('the modules of a command line', () => {
  it('are named by --plugin in both forms, as often as it is given, and not behind --', () => {
    const argv = ['train', '--plugin', 'a.js', '--plugin=b', '--', '--plugin', 'c'];
    expect(pluginsIn(argv)).toEqual(['a.js', 'b']);
    expect(pluginsIn(['train', '--plugin'])).toEqual([]);
  });

  it('are told of by the flag', async () => {
    await expect(loadPlugins(['--plugin', 'no-such'], {}, noFlags)).rejects.toThrow(
      /^--plugin no-such: there is no such file/,
    );
    await expect(loadPlugins(['--plugin='], {}, noFlags)).rejects.toThrow(
      '--plugin: got an empty path, expected',
    );
  });

  it('come from the environment too, and first', async () => {
    expect(environmentPlugins({ MAMBA_PRUNE_PLUGINS: 'a.js:b' })).toEqual(['a.js', 'b']);
    expect(environmentPlugins({})).toEqual([]);
    const env = { MAMBA_PRUNE_PLUGINS: join(folder, 'first.mjs') };
    await expect(loadPlugins(['--plugin', 'second.mjs'], env, noFlags)).rejects.toThrow(
      /first\.mjs/,
    );
  });

  it('may import each other in any order', async () => {
    Object.assign(globalThis, {
      registerLone: () => {
        registerFamily(ownFamily('lone'));
      },
    });
    const lone = written('lone.mjs', 'globalThis.registerLone();\n');
    await loadPlugin(lone);
    // What it would register was registered when its import was loaded by itself.
    await loadPlugin(written('both.mjs', "import './lone.mjs';\n"));
    expect(families().filter(({ name }) => name === 'lone')).toHaveLength(1);
  });

  it('bring no flag that a command has already, and may share one with another family', async () => {
    const registering = (name: string, flag: string): string => {
      const values = count(9);
      const family = ownFamily(name, {
        options: { depth: { values: count(1000), flag: '--depth <n>' }, [name]: { values, flag } },
      });
      Object.assign(globalThis, {
        [name]: () => {
          registerFamily(family);
        },
      });
      return written(`${name}.mjs`, `globalThis.${name}();\n`);
    };
    const flags = async () => Promise.resolve(new Set(['--depth', '--epochs', '--mlp-rate']));
    const free = registering('free', '--free <n>');
    await loadPlugins(['--plugin', free], {}, flags);
    expect(families().map(({ name }) => name)).toContain('free');
    const taken = registering('taken', '--epochs <n>');
    await expect(loadPlugins(['--plugin', taken], {}, flags)).rejects.toThrow(
      `--plugin ${taken}: the flag --epochs of the option \`taken\` of Family taken is one of the commands' own. Choose another one.`,
    );
  });
});
