// A package without its addon, as npm leaves it: what the first use does, alone and with others at once, and what it says
// where it cannot. Each case has a build folder of its own (MAMBA_PRUNE_BUILD).
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { support, transpiledLibtorch } from '../../../test/support/transpiled.js';
import { addonFolder } from './load-addon.js';

const built = transpiledLibtorch();
const folder = mkdtempSync(join(tmpdir(), 'first-use-'));
afterAll(() => {
  built.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The addon may have to be compiled, on a busy machine: a minute where nothing else runs. */
const patience = 600_000;

interface Place {
  /** What MAMBA_PRUNE_BUILD names; it does not exist yet, or holds compiled objects and no addon. */
  readonly build: string;
  readonly env: NodeJS.ProcessEnv;
  /** How often an addon was linked. */
  readonly links: () => number;
}

let places = 0;

/** A compiler that notes when it links. @param seconds - that it takes longer, so that others come meanwhile */
function place({ objects = true, seconds = 0 } = {}): Place {
  const own = join(folder, String(places++));
  mkdirSync(own);
  const [build, log, cxx] = [join(own, 'build'), join(own, 'links'), join(own, 'cxx')];
  const script = `#!/bin/sh
case " $* " in *' -shared '*) echo link >>'${log}'; sleep ${seconds} ;; esac
exec ${process.env['CXX'] ?? 'g++'} "$@"
`;
  writeFileSync(cxx, script, { mode: 0o755 });
  // Those of the clone are taken where they are what would be compiled.
  const compiled = join(addonFolder(), 'objects');
  if (objects && existsSync(compiled)) {
    cpSync(compiled, join(build, 'objects'), { recursive: true });
  }
  return {
    build,
    env: { ...process.env, MAMBA_PRUNE_BUILD: build, CXX: cxx },
    links: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0),
  };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const child = [join(support, 'first-use-child.mjs'), built.src];

const use = (env: NodeJS.ProcessEnv): Ended =>
  spawnSync(process.execPath, child, { env, encoding: 'utf8' });

/** Starts it, in a process or in threads of one, and does not wait. */
async function started(env: NodeJS.ProcessEnv, threads = 0): Promise<Ended> {
  const stdio = ['ignore', 'pipe', 'pipe'] as const;
  const running = spawn(process.execPath, [...child, String(threads)], { env, stdio: [...stdio] });
  let [stdout, stderr] = ['', ''];
  running.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  running.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const [status] = (await once(running, 'close')) as [number | null];
  return { status, stdout, stderr };
}

const oneLine = /^mamba-prune: building the addon, once, against libtorch [^\n]+\n$/;

describe('a package without its addon', () => {
  it(
    'builds it when a tensor is first made, says so in a line, and nothing the next time',
    () => {
      const { build, env, links } = place();
      const first = use(env);
      expect(first).toMatchObject({ status: 0, stdout: '3' });
      expect(first.stderr).toMatch(oneLine);
      expect(existsSync(join(build, 'addon.node'))).toBe(true);
      expect(use(env)).toMatchObject({ status: 0, stdout: '3', stderr: '' });
      expect(links()).toBe(1);
    },
    patience,
  );

  it('is imported without it', () => {
    const { build, env } = place({ objects: false });
    const script = `import * as all from ${JSON.stringify(join(built.src, 'index.js'))}; console.log(typeof all.tensor);`;
    const args = ['--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: 'function\n', stderr: '' });
    expect(existsSync(build)).toBe(false);
  });

  it(
    'is built once by processes and threads that start together, a lock of a killed one notwithstanding',
    async () => {
      const { build, env, links } = place({ seconds: 1 });
      mkdirSync(build, { recursive: true });
      const lock = join(build, 'lock');
      writeFileSync(lock, '');
      utimesSync(lock, 1_000_000_000, 1_000_000_000);
      const all = await Promise.all([started(env), started(env), started(env, 3)]);
      expect(all.map(({ stdout }) => stdout)).toEqual(['3', '3', '3,3,3']);
      expect(all.map(({ status }) => status)).toEqual([0, 0, 0]);
      expect(links()).toBe(1);
      const stderr = all.map((ended) => ended.stderr).join('');
      expect(stderr.match(/building the addon, once/g)).toHaveLength(1);
      expect(existsSync(lock)).toBe(false);
    },
    patience,
  );
});

describe('where the addon cannot be built, the first use', () => {
  /** Ends well by itself: the error is an ordinary one, which the script has caught, twice the same. */
  const refused = (env: NodeJS.ProcessEnv): string => {
    const { status, stdout, stderr } = use(env);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^AddonError: @mamba-prune\/libtorch: the addon /);
    expect(stdout).toContain('npx mamba-prune-libtorch build');
    for (const text of [stdout, stderr]) expect(text).not.toMatch(/^ +at |node:internal/m);
    return stdout;
  };

  it('says what the compiler said, after one try', () => {
    const { env, links } = place({ objects: false });
    const cxx = join(folder, 'broken-cxx');
    const script = `#!/bin/sh
case " $* " in *' --version '*) echo 'broken 1.0' ;; *) echo "x.h:1: error: $(seq -s ' ' 9)" >&2; exit 1 ;; esac
`;
    writeFileSync(cxx, script, { mode: 0o755 });
    const said = refused({ ...env, CXX: cxx });
    expect(said).toContain('the compiler failed.\nx.h:1: error: 1 2 3 4 5 6 7 8 9\n');
    expect(said.split('\n').length).toBeLessThan(10);
    expect(links()).toBe(0);
  });

  it('says that there is no compiler', () => {
    const { env } = place({ objects: false });
    expect(refused({ ...env, CXX: '/nonexistent/g++' })).toContain(
      "no C++ compiler: '/nonexistent/g++' does not run.\n  Debian or Ubuntu: apt-get install g++",
    );
  });

  it('says that there is no libtorch', () => {
    const { env } = place({ objects: false });
    expect(refused({ ...env, LIBTORCH: '/nonexistent' })).toContain(
      "LIBTORCH is '/nonexistent', but include/ATen/ATen.h or lib/libtorch_cpu.so is missing there.",
    );
  });

  it.each(['/proc/nowhere/build', join(folder, 'a file')])(
    'says that nothing can be written in %s',
    (build) => {
      writeFileSync(join(folder, 'a file'), '');
      const { env } = place({ objects: false });
      const said = refused({ ...env, MAMBA_PRUNE_BUILD: build });
      expect(said).toContain(`the addon cannot be built in ${build}: E`);
      expect(said).toContain('set MAMBA_PRUNE_BUILD to a folder that can be written');
    },
  );
});

describe('an addon that does not fit', () => {
  let complete: string;
  beforeAll(() => {
    const { build, env } = place();
    expect(use(env)).toMatchObject({ status: 0, stdout: '3' });
    complete = build;
  }, patience);

  /** A build folder whose addon, once built, was changed. */
  function changed(
    change: (stamp: Record<string, unknown>, build: string) => void = () => undefined,
  ): Place {
    const made = place({ objects: false });
    cpSync(complete, made.build, { recursive: true });
    const path = join(made.build, 'addon.json');
    const stamp = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    // As if it had been built here.
    stamp['mtimeMs'] = statSync(join(made.build, 'addon.node')).mtimeMs;
    change(stamp, made.build);
    writeFileSync(path, JSON.stringify(stamp));
    return made;
  }

  it('is one that was changed: as it was built, it is taken', () => {
    const { env, links } = changed();
    expect(use(env)).toMatchObject({ status: 0, stdout: '3', stderr: '' });
    expect(links()).toBe(0);
  });

  it(
    'because it does not load, is built again',
    () => {
      const { env, links } = changed((stamp, build) => {
        writeFileSync(join(build, 'addon.node'), 'no library');
        stamp['key'] = 'of a libtorch that is gone';
      });
      const { status, stdout, stderr } = use(env);
      expect({ status, stdout }).toEqual({ status: 0, stdout: '3' });
      expect(stderr).toMatch(oneLine);
      expect(links()).toBe(1);
    },
    patience,
  );

  it(
    'because its libtorch has changed in its place, is built again',
    () => {
      const { env, links } = changed((stamp) => {
        stamp['key'] = 'of another version';
        stamp['librarySize'] = 1;
      });
      expect(use(env)).toMatchObject({ status: 0, stdout: '3' });
      expect(links()).toBe(1);
    },
    patience,
  );

  it(
    'is no reason for a stack trace where it cannot be built again',
    () => {
      const { env } = changed((stamp, build) => {
        writeFileSync(join(build, 'addon.node'), 'no library');
        stamp['libtorch'] = '9.9.9';
      });
      const { status, stdout } = use({ ...env, CXX: '/nonexistent/g++' });
      expect(status).toBe(0);
      expect(stdout).toMatch(
        /^AddonError: @mamba-prune\/libtorch: the addon, built for libtorch 9\.9\.9 of \S+, does not load: /,
      );
      expect(stdout).toContain("no C++ compiler: '/nonexistent/g++' does not run");
    },
    patience,
  );

  it(
    'because LIBTORCH names another libtorch, is not used',
    () => {
      const { env } = changed();
      const { status, stdout } = use({ ...env, LIBTORCH: '/nonexistent' });
      expect(status).toBe(0);
      expect(stdout).toMatch(
        /^AddonError: .*the addon was built for libtorch [\d.]+ of \S+, and LIBTORCH names another \(\/nonexistent\)/,
      );
      expect(stdout).toContain('lib/libtorch_cpu.so is missing there');
    },
    patience,
  );
});
