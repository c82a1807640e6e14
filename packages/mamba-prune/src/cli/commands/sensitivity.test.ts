// `sensitivity`, and `prune --rates-from` with what it wrote.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { saveSafetensors } from '@mamba-prune/libtorch';
import { loadModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { registerImportance } from '../../pruning/importances.js';
import { readPruningRecord } from '../../workflows/prune/record.js';
import { readSensitivity } from '../../workflows/sensitivity/file.js';
import { side, tinyTraining, writeTinyImages } from '../../workflows/testing/tiny.js';
import { trainRun } from '../../workflows/train-run.js';
import { visible } from '../terminal/text.js';
import { writeStateDict } from '../testing/model-files.js';
import { runCli } from '../testing/run-cli.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-sensitivity-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  const { status, stderr } = await sensitivity(
    at('dense'),
    '--rates',
    '0.5,0.8',
    '--out',
    at('s.json'),
  );
  expect(status, stderr).toBe(0);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const sensitivity = (...argv: string[]) => runCli(['sensitivity', ...argv]);

describe('sensitivity', () => {
  it('prints a table that fits, and JSON that is what it writes', async () => {
    const people = await sensitivity(
      at('dense'),
      '--images',
      '8',
      '--rates',
      '0.5',
      '--by',
      'block',
    );
    expect(people.status).toBe(0);
    expect(people.stdout.split('\n').filter((line) => visible(line) > 80)).toEqual([]);
    expect(people.stdout).toContain('blocks.1');
    // A loss has a minus there.
    expect(flat(people.stdout)).toContain('Change of the accuracy in points when the block alone');
    expect(people.stdout).toContain('8 training images of folder, held out');
    const out = at('json.json');
    const argv = ['--images', '8', '--rates', '0.5', '--split', 'test', '--out', out, '--json'];
    const machine = await sensitivity(at('dense'), ...argv);
    const json = JSON.parse(machine.stdout) as object;
    expect(json).toEqual({ ...readSensitivity(out), out });
  });

  it('goes on without a model, and searches on', async () => {
    const out = at('search.json');
    writeFileSync(out, readFileSync(at('s.json')));
    const argv = ['--resume', '--out', out, '--search', 'greedy', '--target-macs', '0.6x'];
    const { status, stdout, stderr } = await sensitivity(...argv);
    expect(status, stderr).toBe(0);
    expect(flat(stdout)).toContain('Right after the cut');
    const { search, dense } = readSensitivity(out);
    expect(search).toMatchObject({ method: 'greedy', finished: true });
    expect(search?.best?.macs).toBeLessThanOrEqual(0.6 * dense.macs);
  });

  it('goes on to its search though nothing says so again', async () => {
    const [whole, out] = [at('search-whole.json'), at('search-stopped.json')];
    const few = [
      '--images',
      '8',
      '--rates',
      '0.5,0.8',
      '--search',
      'greedy',
      '--target-macs',
      '0.6x',
    ];
    expect((await sensitivity(at('dense'), ...few, '--out', whole)).status).toBe(0);
    const stopped = await sensitivity(at('dense'), ...few, '--out', out, '--minutes', '1e-9');
    expect(stopped.stdout).not.toContain('Right after the cut');
    expect(flat(stopped.stderr)).toContain('The time was over before everything was measured.');
    const { status, stderr } = await sensitivity('--resume', '--out', out);
    expect(status, stderr).toBe(0);
    expect(readFileSync(out, 'utf8')).toBe(readFileSync(whole, 'utf8'));
  });

  it('tells how to cut by it with the plugins that it was given', async () => {
    const plugin = at('plugin.mjs');
    Object.assign(globalThis, {
      registerPlugged: () => {
        registerImportance({ name: 'plugged', description: 'none', score: () => new Map() });
      },
    });
    writeFileSync(plugin, 'globalThis.registerPlugged();\n');
    const few = ['--images', '8', '--rates', '0.5', '--by', 'kind', '--out', at('plugged.json')];
    const { status, stdout, stderr } = await sensitivity(at('dense'), ...few, '--plugin', plugin);
    expect(status, stderr).toBe(0);
    const told = stdout.slice(stdout.indexOf('cut by it')).replaceAll(/\s+/g, '');
    // The usual rate is more than was measured.
    expect(told).toContain('--rate0.5--plugin');
    expect(told).toContain(`--plugin${plugin}`);
  });

  it('names the model in the command as the other lines do, without the folders above', async () => {
    const few = ['--images', '8', '--rates', '0.8', '--by', 'kind', '--overwrite'];
    const here = vi.spyOn(process, 'cwd').mockReturnValue(folder);
    const { stdout } = await sensitivity(at('dense'), ...few, '--out', at('short.json'));
    here.mockRestore();
    expect(flat(stdout)).toContain('prune dense/model.safetensors --rates-from');
  });

  it('tells how to cut by it as it was measured', async () => {
    const told = async (...argv: string[]): Promise<string> => {
      const few = ['--images', '8', '--rates', '0.8', '--by', 'kind', '--overwrite'];
      const out = ['--out', at('told.json')];
      const { status, stdout, stderr } = await sensitivity(at('dense'), ...few, ...out, ...argv);
      expect(status, stderr).toBe(0);
      return stdout.slice(stdout.indexOf('cut by it')).replaceAll(/[\s\\]+/g, '');
    };
    expect(await told()).toContain(`--rates-from${at('told.json')}--outDIR`);
    const images = ['--dataset', 'folder', '--data', at('images')];
    const chosen = ['--importance', 'l1', '--score', 'group'];
    const compensated = ['--compensate', 'fold', '--compensate-images', '20'];
    expect(await told(...images, ...compensated, ...chosen)).toContain(
      [...chosen, ...compensated, ...images, '--out', 'DIR'].join(''),
    );
    // The norm that goes with this score.
    expect(await told('--score', 'activation')).toContain('.json--scoreactivation--outDIR');
  });

  it('names what is said otherwise of a file of another program, when it goes on, by its flag', async () => {
    const { model } = loadModel(at('dense', 'model.safetensors'));
    writeStateDict(at('net.pth'), model);
    model.dispose();
    const sizes = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '2', '--d-state', '3'];
    const said = [...sizes, '--scan', 'uni', '--image-size', String(side), '--mean', '0.1,0.2,0.3'];
    const more = ['--dataset', 'folder', '--data', at('images'), '--images', '8', '--rates', '0.5'];
    const out = ['--out', at('net.json')];
    const begun = await sensitivity(at('net.pth'), ...said, ...more, ...out);
    expect(begun.status, begun.stderr).toBe(0);
    const { status, stderr } = await sensitivity('--resume', '--mean', '0,0,0', ...out);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain(
      'was begun with --mean [0.1,0.2,0.3], expected the same, got [0,0,0]. Leave it out',
    );
    expect((await sensitivity('--resume', ...out)).status).toBe(0);
  });

  it('tells which images to cut by after it went on', async () => {
    const out = at('went-on.json');
    writeFileSync(out, readFileSync(at('s.json')));
    const { status, stdout, stderr } = await sensitivity('--resume', '--out', out);
    expect(status, stderr).toBe(0);
    const told = stdout.slice(stdout.indexOf('cut by it')).replaceAll(/[\s\\]+/g, '');
    expect(told).toContain(`--datasetfolder--data${at('images')}--outDIR`);
  });

  it('says what is missing or does not go together', async () => {
    const message = async (...argv: string[]): Promise<string> => {
      const { status, stderr } = await sensitivity(...argv);
      expect(status).toBe(2);
      return flat(stderr);
    };
    expect(await message()).toContain("the argument 'MODEL|RUN' is missing");
    expect(await message(at('dense'), '--resume')).toContain('--resume: belongs to --out');
    expect(await message(at('dense'), '--search', 'greedy')).toContain(
      'got --search without a target, expected one of --target-macs, --target-params and --rate',
    );
    expect(await message(at('dense'), '--target-macs', '0.5x')).toContain(
      'got --target-macs, which belongs to --search',
    );
    const two = ['--search', 'greedy', '--target-macs', '0.5x', '--rate', '0.5'];
    expect(await message(at('dense'), ...two)).toContain(
      'got --target-macs and --rate, expected one',
    );
    const far = ['--search', 'greedy', '--rate', '0.9', '--images', '8', '--rates', '0.5'];
    expect(await message(at('dense'), ...far)).toContain('sensitivity: --search: got a budget of');
    expect(await message(at('dense'), '--rates', '0.5,1')).toContain('above 0 and below 1');
    expect(await message(at('dense'), '--out', at('s.json'))).toContain(
      'exists, expected a new file',
    );
    expect(await message(at('dense'), '--out', at('s.txt'))).toContain(
      `--out: ${at('s.txt')} ends in .txt, expected .json, which is what is written. Give such a name, such as ${at('s.json')}.`,
    );
    expect(await message('--resume', '--out', at('s.json'), '--rates', '0.5')).toContain(
      'was begun with --rates [0.5,0.8], expected the same, got [0.5]',
    );
  });
});

describe('prune --rates-from of a file that does not tell everything', () => {
  const foreign = (): string => at('foreign.safetensors');
  const images = (): string[] => ['--dataset', 'folder', '--data', at('images')];

  beforeAll(async () => {
    const shape = { imageSize: 2 * side, channels: 3, numClasses: 2, blocks: [1, 1, 1] } as const;
    const model = createModel('resnet20', { ...shape, baseWidth: 4 });
    saveSafetensors(foreign(), model.stateDict());
    model.dispose();
    const said = [
      '--image-size',
      String(2 * side),
      '--by',
      'kind',
      '--rates',
      '0.5',
      '--images',
      '8',
    ];
    const out = ['--out', at('foreign.json')];
    const { status, stderr } = await sensitivity(foreign(), ...images(), ...said, ...out);
    expect(status, stderr).toBe(0);
  });

  const prune = async (...argv: string[]) => {
    const from = ['--rates-from', at('foreign.json'), '--rate', '0.5'];
    const made = await runCli(['prune', foreign(), ...images(), ...from, ...argv]);
    expect(made.status, made.stderr).toBe(0);
    const out = argv[argv.indexOf('--out') + 1] ?? '';
    return { said: flat(made.stderr), size: loadModel(join(out, 'model.safetensors')) };
  };

  it('cuts the model that was measured, though nothing says so again', async () => {
    const { said, size } = await prune('--out', at('foreign-cut'));
    expect(size.model.config.imageSize).toBe(2 * side);
    expect(said).toContain(`foreign.json was measured: --image-size ${2 * side}`);
    expect(said).not.toContain('Assumed: --image-size');
    size.model.dispose();
  });

  it('says that another size of the images is another model', async () => {
    const { said, size } = await prune('--image-size', String(side), '--out', at('foreign-other'));
    expect(size.model.config.imageSize).toBe(side);
    expect(said).toContain(
      `foreign.json: was measured with --image-size ${2 * side}, and this run has other values of these`,
    );
    size.model.dispose();
  });
});

describe('prune --rates-from', () => {
  const prune = (...argv: string[]) =>
    runCli(['prune', at('dense'), '--rates-from', at('s.json'), ...argv]);

  it('cuts every group at its own rate, to the budget that is asked', async () => {
    const out = at('cut');
    const { status, stderr } = await prune('--target-macs', '0.7x', '--out', out);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toContain('Rates of the measured sensitivity in');
    const record = readPruningRecord(out);
    const { macs, rateOf, widthsAfter, widthsBefore } = record as NonNullable<typeof record>;
    expect(macs.after).toBeLessThanOrEqual(0.7 * macs.before);
    expect(macs.after).toBeGreaterThan(0.65 * macs.before);
    const cut = Object.keys(widthsBefore).filter((name) => /ssm|mlp/.test(name));
    expect(Object.keys(rateOf ?? {}).sort()).toEqual(cut.sort());
    for (const [name, rate] of Object.entries(rateOf ?? {})) {
      expect(widthsAfter[name]).toBe(Math.round((1 - rate) * (widthsBefore[name] ?? 0)));
    }
  });

  it('removes as many units of each kind as its rate says', async () => {
    const out = at('by-rate');
    const { status, stderr } = await prune('--ssm-rate', '0.5', '--mlp-rate', '0.25', '--out', out);
    expect(status, stderr).toBe(0);
    const { reached, heldBack } = readPruningRecord(out) ?? {};
    expect(reached).toEqual({ ssm: 0.5, mlp: 0.25 });
    // Groups that lose less than the rate hold nothing back, as others lose more.
    expect(heldBack).toEqual([]);
  });

  it('refuses what says the same in another way, and keeps a run what it is', async () => {
    const message = async (...argv: string[]): Promise<string> => {
      const { status, stderr } = await prune('--out', at('never'), ...argv);
      expect(status).toBe(2);
      expect(existsSync(at('never'))).toBe(false);
      return flat(stderr);
    };
    expect(await message('--ranking', 'layer')).toContain(
      'got --ranking with --rates-from, which gives every group its own rate. Leave one of the two out.',
    );
    expect(await message('--rank-by', 'score-per-cost')).toContain(
      'got --rank-by with --rates-from',
    );
    expect(await message('--target-file', '0.5x')).toContain(
      'got --target-file with --rates-from, expected --target-macs or --target-params',
    );
    const refill = ['--target-macs', '0.7x', '--method', 'refill', '--fillback', '0.3'];
    expect(await message(...refill)).toContain(
      'got --fillback 0.3 with --rates-from and a budget: the model would grow above the budget',
    );
    expect(await message('--target', 'all')).toContain('holds no measurement of the kind state');
    expect(await message('--rate', '0.95')).toContain('expected at least');
    const resumed = await runCli([
      'prune',
      '--resume',
      '--out',
      at('cut'),
      '--rates-from',
      at('s.json'),
    ]);
    expect(flat(resumed.stderr)).toContain('got --rates-from with --resume: a run keeps the rates');
  });

  it('says so of units that are chosen by something else than in the measurement', async () => {
    const noted = async (...argv: string[]): Promise<string> => {
      const { status, stderr } = await prune('--out', at('chosen'), '--overwrite', ...argv);
      expect(status, stderr).toBe(0);
      return flat(stderr);
    };
    const said =
      'was measured with units chosen by taylor of consumer, and this run chooses them by';
    expect(await noted()).not.toContain('this run chooses');
    expect(await noted('--importance', 'taylor')).not.toContain('this run chooses');
    expect(await noted('--importance', 'l1')).toContain(
      `${said} l1 of consumer, so that the losses measured are not those of its cuts. For the same units: ` +
        '--importance taylor --score consumer',
    );
    expect(await noted('--score', 'group')).toContain(`${said} taylor of group`);
  });

  it('says so of weights that are others than those that were measured', async () => {
    const file = JSON.parse(readFileSync(at('s.json'), 'utf8')) as { model: object };
    const other = at('other.json');
    writeFileSync(other, JSON.stringify({ ...file, model: { ...file.model, sha256: 'x' } }));
    const argv = ['prune', at('dense'), '--rates-from', other, '--rate', '0.5', '--out', at('o')];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(0);
    expect(flat(stderr)).toContain('was measured on other weights than those of');
  });
});
