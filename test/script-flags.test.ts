// The scripts of the repository, asked wrongly: one sentence and exit status 2, never a stack trace; and --help says what each
// takes.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const folders = ['benchmarks', 'scripts', 'test/soak', 'test/gpu', 'test/support'];
const ofPackages = ['libtorch', 'models', 'report'].map((name) => `packages/${name}/scripts`);
const scripts = [...folders, ...ofPackages].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => `${folder}/${name}`),
);
const textOf = (script: string): string => readFileSync(join(root, script), 'utf8');

const helper = 'scripts/script-flags.mjs';
/** What reads flags for another file, which is the one that is run. */
const parts: Readonly<Record<string, string>> = {
  'benchmarks/torch-pruning/settings.mjs': 'benchmarks/torch-pruning/compare.mjs',
};
const withFlags = scripts
  .filter((script) => script !== helper && /\breadFlags\(/.test(textOf(script)))
  .map((script) => parts[script] ?? script);

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (script: string, ...args: readonly string[]): Promise<Ended> =>
  new Promise((done, fail) => {
    const child = spawn(process.execPath, [join(root, script), ...args], { cwd: root });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => (stdout += String(chunk)));
    child.stderr.on('data', (chunk) => (stderr += String(chunk)));
    child.on('error', fail);
    child.on('close', (status) => {
      done({ status, stdout, stderr });
    });
  });

/** Files beside a script that declare flags which it has in common with others. */
const sharedBy = (script: string): string[] =>
  [...textOf(script).matchAll(/from '(\.[^']*-flags\.mjs)'/g)]
    .map(([, file = '']) => join(dirname(script), file))
    .filter((file) => file !== helper);

/** Of the flags that a script declares with a check, one that no text like this fits. */
function checkedFlag(script: string): string | undefined {
  const declaring = Object.entries(parts).find(([, of]) => of === script)?.[0] ?? script;
  const text = [declaring, ...sharedBy(declaring)].map(textOf).join('');
  return /^\s*'?([\w-]+)'?: \{[^{}]*value: (?!pattern)/m.exec(text)?.[1];
}

describe('flags of scripts', () => {
  it('are read by one helper', () => {
    // Of processes that tests start with what they are to do, and the two that are published without the helper.
    const others = scripts.filter(
      (script) =>
        script !== helper &&
        /\bparseArgs\b|process\.argv\.(?:includes|slice)/.test(textOf(script)) &&
        !/-child\.mjs$/.test(script),
    );
    expect(others.sort()).toEqual([
      // Hands its own flags on to the workers that it starts.
      'benchmarks/gpu-workers.mjs',
      'packages/libtorch/scripts/build-addon.mjs',
      'packages/libtorch/scripts/cli.mjs',
    ]);
    expect(withFlags.length).toBeGreaterThan(30);
  });

  it('that two measurements have in common are declared once', () => {
    const declared = (script: string): string[] =>
      [...textOf(script).matchAll(/^ {2}'?([\w-]+)'?: \{\s*type: '/gm)].map(
        ([, flag = '']) => flag,
      );
    const sides = ['benchmarks/measure.mjs', 'benchmarks/bench/onnx.mjs'];
    const [ours = [], onnx = []] = sides.map(declared);
    expect(onnx.filter((flag) => ours.includes(flag))).toEqual([]);
    expect(sides.map(sharedBy)).toEqual([
      ['benchmarks/bench/measurement-flags.mjs'],
      ['benchmarks/bench/measurement-flags.mjs'],
    ]);
    expect(sides.map(checkedFlag)).toEqual(['what', 'batch']);
  });

  it.each([...withFlags, 'packages/libtorch/scripts/build-addon.mjs'])(
    'of %s are refused in a sentence',
    async (script) => {
      const unknown = await run(script, '--no-such-flag');
      expect(unknown.stderr).toMatch(/^[\w-]+: .*no-such-flag.*\.\n$/);
      expect(unknown.status).toBe(2);
      // What --help shows.
      expect(/^(?:#!.*\n)?((?:\/\/.*\n)+)/.exec(textOf(script))?.[1]).toContain(
        basename(script, '.mjs'),
      );
    },
    180_000,
  );

  it.each(['benchmarks/bench.mjs', 'packages/libtorch/scripts/build-addon.mjs'])(
    'of %s are shown by --help',
    async (script) => {
      const { status, stdout, stderr } = await run(script, '--help');
      expect([status, stderr]).toEqual([0, '']);
      expect(stdout).toContain(basename(script, '.mjs'));
    },
  );

  it.each([
    [
      'scripts/setup',
      ['--pyton'],
      "setup: got '--pyton', expected nothing, --browser or --python.\n",
    ],
    [
      '.ci/optional',
      ['node'],
      "optional: got 'node', expected node VERSION, python, libtorch or peers.\n",
    ],
    [
      '.ci/optional',
      ['torch'],
      "optional: got 'torch', expected node VERSION, python, libtorch or peers.\n",
    ],
  ])('of %s are refused in a sentence: %j', (script, args, said) => {
    const { status, stderr } = spawnSync('bash', [join(root, script), ...args], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([2, said]);
  });

  it('need their values', async () => {
    const { status, stderr } = await run('benchmarks/bench.mjs', '--threads');
    expect(stderr).toMatch(/^bench: .*argument missing\..*\n$/);
    expect(status).toBe(2);
  });

  it.each(withFlags.filter((script) => checkedFlag(script) !== undefined))(
    'of %s are refused with what they have to be',
    async (script) => {
      const flag = checkedFlag(script) ?? '';
      const three = ['a', 'b', 'c'].slice(0, /add-model|compare-versions/.test(script) ? 2 : 0);
      const required = script.endsWith('campaign.mjs')
        ? ['--data', 'a', '--out', 'b']
        : script.endsWith('/onnx.mjs')
          ? ['--folder', 'a']
          : [];
      const one = script.endsWith('/sensitivity.mjs') ? ['a'] : three;
      const { status, stderr } = await run(script, ...one, ...required, `--${flag}=what?`);
      expect(stderr).toMatch(new RegExp(`^[\\w-]+: --${flag}: got 'what\\?', expected .*\\.\\n$`));
      expect(status).toBe(2);
    },
    180_000,
  );

  it('may be right where the library refuses what they say, in a sentence too', async () => {
    expect(await run('benchmarks/pruned.mjs', '--arch', 'mamba_smal')).toEqual({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^pruned: .*mamba_smal.*\.\n$/) as string,
    });
  });

  it('may have arguments beside them, of which there are as many as are wanted', async () => {
    const { status, stderr } = await run('scripts/compare-versions.mjs', 'a');
    expect([status, stderr]).toEqual([
      2,
      'compare-versions: got a, expected two built trees of the repository, the old one first.\n',
    ]);
    const campaign = await run('benchmarks/campaign.mjs', '--data', 'a');
    expect([campaign.status, campaign.stderr]).toEqual([
      2,
      'campaign: --out is missing, expected the folder of the results.\n',
    ]);
  });
});
