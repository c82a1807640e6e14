// pretrained:NAME as a MODEL, and imp --mamba_pretrained without a model, against a server that speaks the hub's protocol. The
// files have the names of the published ones and hold small models.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchPublished } from '../hub/fetch-published.js';
import { HubServer } from '../hub/testing/hub-server.js';
import { loadModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { openModelFile } from '../workflows/open-model-file.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { writeStateDict } from './testing/model-files.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-published-cli-'));
const at = (...names: string[]): string => join(folder, ...names);
const vimFile = 'vim_t_midclstok_76p1acc.pth';
let server: HubServer;

beforeAll(async () => {
  await writeTinyImages(at('images'));
  manualSeed(3);
  mkdirSync(at('files'));
  const sizes = { imageSize: 8, patchSize: 4, depth: 1, numClasses: 3 };
  const vim = createModel('vim_tiny', { ...sizes, dModel: 16, dState: 2 });
  writeStateDict(at('files', vimFile), vim, 'model');
  const vit = createModel('vit_tiny', { ...sizes, imageSize: 16, dModel: 12 });
  writeStateDict(at('files', 'vit.pth'), vit);
  const nano = createModel('vim_nano', { numClasses: 3, imageSize: 16 });
  writeStateDict(at('files', 'nano.pth'), nano, 'model');
  nano.dispose();
  vim.dispose();
  vit.dispose();
  const read = (name: string): Buffer => readFileSync(at('files', name));
  server = await HubServer.start({
    'hustvl/Vim-tiny-midclstok': {
      refs: { main: 'a'.repeat(40) },
      files: { [vimFile]: read(vimFile), 'vim_t_midclstok_ft_78p3acc.pth': read(vimFile) },
      lfs: [vimFile],
    },
    'hustvl/Vim-small-midclstok': {
      refs: { main: 'b'.repeat(40) },
      files: { 'vim_s_midclstok_80p5acc.pth': read('nano.pth') },
    },
  });
});
beforeEach(() => {
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
  vi.stubEnv('HF_HUB_CACHE', at('cache'));
  vi.stubEnv('HF_HUB_OFFLINE', '');
  vi.stubEnv('HF_TOKEN_PATH', at('no-token'));
  vi.stubEnv('MAMBA_PRUNE_MODELS', at('no-box'));
  return () => {
    vi.unstubAllEnvs();
  };
});
afterAll(() => {
  server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** The words of a command line that has no spaces within them. */
const words = (line: string): string[] => line.split(' ');

describe('pretrained:NAME', () => {
  // What the small model has of its own; the weights that are published have the sizes of the architecture.
  const sizes = ['--arch', 'vim_tiny', '--d-model', '16', '--depth', '1', '--d-state', '2'];
  const inspect = ['inspect', 'pretrained:vim_tiny', '--image-size', '8', ...sizes];

  it('is downloaded with size, licence and accuracy told, and known by where it came from', async () => {
    const { status, stdout, stderr } = await runCli(inspect);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toMatch(
      /Downloading pretrained:vim_tiny from hf:hustvl\/Vim-tiny-midclstok:vim_t_midclstok_76p1acc\.pth: [\d.]+ KiB, licence apache-2\.0, accuracy on imagenet 76\.1% as published \(https:\/\/github\.com\/hustvl\/Vim\)\./,
    );
    expect(stdout.split('\n')[0]).toBe(`hf:hustvl/Vim-tiny-midclstok:${vimFile}`);
    const again = await runCli(inspect);
    expect(again.stderr).not.toContain('Downloading');
    expect(again.stdout).toBe(stdout);
  });

  it('brings the preparation of images that no file beside the weights tells', async () => {
    const { stdout, stderr } = await runCli([...inspect, '--json']);
    const { preprocessing, mean, assumed, history } = JSON.parse(stdout) as {
      preprocessing: object;
      mean: number[];
      assumed: string[];
      history: { source?: string }[];
    };
    expect(preprocessing).toMatchObject({ interpolation: 'bicubic', cropShare: 0.875 });
    expect(mean).toEqual([0.485, 0.456, 0.406]);
    expect(assumed.filter((text) => /^(?:mean|std|interpolation|cropShare) /.test(text))).toEqual(
      [],
    );
    expect(flat(stderr)).toMatch(
      /Taken from what is known of pretrained:vim_tiny: .*--interpolation bicubic/,
    );
    expect(history[0]?.source).toBe(`hf:hustvl/Vim-tiny-midclstok@${'a'.repeat(40)}:${vimFile}`);
  });

  it('is downloaded again where the cache has lost the end of it', async () => {
    vi.stubEnv('HF_HUB_CACHE', at('cut'));
    const whole = await runCli(inspect);
    const { path } = await fetchPublished('vim_tiny');
    truncateSync(path, 1000);
    const again = await runCli(inspect);
    expect(again.status, again.stderr).toBe(0);
    expect(again.stderr).toContain('Downloading');
    expect(again.stdout).toBe(whole.stdout);
  });

  it('is refused where another file lies behind the name', async () => {
    const { status, stderr } = await runCli([
      'inspect',
      'pretrained:vim_small',
      '--image-size',
      '16',
    ]);
    expect(status, stderr).toBe(2);
    expect(flat(stderr)).toMatch(
      /the weights are not those of vim_small as asked for: .*arch vim_small: so says what is known of pretrained:vim_small/,
    );
    const stride = ['--stride', '4', '--image-size', '8', ...sizes];
    const wanted = await runCli(['inspect', 'pretrained:vim_tiny_stride8', ...stride]);
    expect(wanted.status, wanted.stderr).toBe(0);
    const other = await runCli(['inspect', 'pretrained:vim_tiny_stride8', ...stride.slice(2)]);
    expect(other.status).toBe(1);
    expect(flat(other.stderr)).toContain(
      'got weights of --stride 4, expected 8, as pretrained:vim_tiny_stride8 has',
    );
  });

  it('brings its architecture, which the weights of derived models would have too', async () => {
    const own = ['--d-model', '16', '--depth', '1', '--d-state', '2', '--image-size', '8'];
    const named = await runCli(['inspect', 'pretrained:vim_tiny', ...own, '--json']);
    expect(named.status, named.stderr).toBe(0);
    expect(JSON.parse(named.stdout)).toMatchObject({ arch: 'vim_tiny' });
    expect(flat(named.stderr)).toContain('what is known of pretrained:vim_tiny: --arch vim_tiny');
    const wrong = await runCli(['inspect', 'pretrained:vim_tiny', '--d-model', '20']);
    expect(wrong.status).toBe(2);
    expect(flat(wrong.stderr)).toContain('(arch vim_tiny: so says what is known of pretrained:');
  });

  it('stands in the help of every command that takes a model by name', async () => {
    const { stdout } = await runCli(['--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name);
    expect(commands).toContain('bench');
    const silent: string[] = [];
    for (const command of commands.filter((name) => !['help', 'push'].includes(name))) {
      const help = (await runCli([command, '--help'])).stdout.replaceAll(/\s+/g, ' ');
      if (help.includes('hf:owner/name') && !help.includes('pretrained:NAME')) silent.push(command);
    }
    expect(silent).toEqual([]);
  });

  it('is wrong usage if there is no such name', async () => {
    const { status, stderr } = await runCli(['inspect', 'pretrained:vim_huge']);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain("got 'pretrained:vim_huge', expected one of pretrained:");
  });

  it('of a repository with several files is asked for by the name of one', async () => {
    const { status, stderr } = await runCli(['inspect', 'hf:hustvl/Vim-tiny-midclstok']);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain(
      `got several files of weights (${vimFile}, vim_t_midclstok_ft_78p3acc.pth), expected one. Name it: hf:hustvl/Vim-tiny-midclstok:${vimFile}.`,
    );
  });
});

describe('imp --mamba_pretrained without a model', () => {
  const imp = (...more: string[]): string[] => [
    ...words('imp --arch vim_tiny --mamba_structured --mamba_pretrained --dataset folder --data'),
    at('images'),
    ...words('--image_size 8 --epochs 1 --warmup 0 --batch_size 8 --pruning_times 1 --rate 0.5'),
    ...words('--d_model 16 --depth 1 --d_state 2'),
    ...more,
  ];

  it('prunes the published weights of the architecture, with a new classifier for other classes', async () => {
    const run = ['--save_dir', at('run')];
    const { status, stdout, stderr } = await runCli([...imp(...run), '--json']);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toContain(
      'The dense model is pretrained:vim_tiny, the published weights of this architecture.',
    );
    expect(flat(stderr)).toContain(
      'The classifier (head.weight, head.bias) begins with random weights: it was made for 3 classes, and folder has 2.',
    );
    expect(flat(stderr)).toContain('give it as --init.');
    const { notes } = JSON.parse(stdout) as { notes: string[] };
    expect(notes.join()).toContain('begins with random weights');
    const { model, info } = loadModel(at('run', 'model.safetensors'));
    expect(model.config).toMatchObject({ arch: 'vim_tiny', numClasses: 2, imageSize: 8 });
    expect(model.config.widths).toEqual({ 'layers.0.ssm': 16 });
    expect(info.classes).toEqual(['left', 'right']);
    expect(info.mean).toEqual([0.485, 0.456, 0.406]);
    const dense = loadModel(at('run.dense.safetensors')).model;
    // All but the classifier is as it was published.
    const [first] = [...dense.stateDict()].filter(([name]) => name === 'patch_embed.proj.weight');
    expect(first?.[1].shape).toEqual([16, 3, 4, 4]);
    // The seed decides the new classifier too.
    const second = await runCli([...imp('--save_dir', at('second')), '--json']);
    expect(second.status, second.stderr).toBe(0);
    const weights = (name: string): Buffer => readFileSync(at(name));
    expect(weights('second.dense.safetensors').equals(weights('run.dense.safetensors'))).toBe(true);
  });

  it('has in a plan the name of what was not downloaded yet, and downloads nothing', async () => {
    vi.stubEnv('HF_HUB_CACHE', at('empty'));
    const seen = server.seen.length;
    const { status, stdout } = await runCli(imp('--exp_name', 'x', '--print_plan'));
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ prune: { model: 'pretrained:vim_tiny' } });
    expect(server.seen).toHaveLength(seen);
  });

  it('takes those of the stride that was said', async () => {
    const planned = async (...more: string[]): Promise<unknown> => {
      vi.stubEnv('HF_HUB_CACHE', at('empty'));
      const { stdout } = await runCli(imp('--exp_name', 'x', '--print_plan', ...more));
      return (JSON.parse(stdout) as { prune: { model: unknown } }).prune.model;
    };
    expect(await planned('--stride', '8')).toBe('pretrained:vim_tiny_stride8');
    expect(await planned('--stride', '16')).toBe('pretrained:vim_tiny');
    expect(await planned('--stride', '4')).toBe('pretrained:vim_tiny');
  });

  it('says how to fetch them by hand where there is no network', async () => {
    vi.stubEnv('HF_HUB_CACHE', at('empty'));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const { status, stderr } = await runCli(imp('--save_dir', at('never')));
    expect(status).toBe(1);
    expect(flat(stderr)).toContain(
      `Download ${server.endpoint}/hustvl/Vim-tiny-midclstok/resolve/main/${vimFile} on a machine where that can be had`,
    );
  });

  it.each([
    ['--mamba_pretrained', imp('--save_dir', at('never'))],
    ['--init', ['imp', '--init', 'pretrained:vim_tiny', '--mamba_structured', '--exp_name', 'x']],
    ['--from', ['train', '--from', 'pretrained:vim_tiny', '--dataset', 'fashion-mnist']],
    ['--dense', ['compare', '--dense', 'pretrained:vim_tiny', '--dataset', 'fashion-mnist']],
    ['', ['inspect', 'pretrained:vim_tiny']],
  ])('names the flag %s that takes the file, and no other', async (flag, argv) => {
    vi.stubEnv('HF_HUB_CACHE', at('empty'));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const out = ['train', 'compare'].includes(argv[0] ?? '') ? ['--out', at('never')] : [];
    const { stderr } = await runCli([...argv, ...out]);
    const end = flag === '' ? '' : `: ${flag} FILE`;
    expect(flat(stderr)).toMatch(
      new RegExp(`the path of the file in place of pretrained:vim_tiny${end}\\. ?$`),
    );
  });

  it.each([
    ['mamba_small', 'no published weights of mamba_small are known, only of vit_tiny,'],
    ['vim_nano', 'no published weights of vim_nano are known, only of vit_tiny,'],
  ])('names the architectures that have some where %s has none', async (arch, words) => {
    const flags = ['imp', '--arch', arch, '--mamba_structured', '--mamba_pretrained'];
    const { status, stderr } = await runCli([...flags, '--exp_name', 'x']);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain(words);
  });

  it('refuses the neurons of blocks that have no MLP', async () => {
    const { status, stderr } = await runCli(
      imp('--exp_name', 'x', '--mamba_prune_target', 'mlp', '--print_plan'),
    );
    expect(status).toBe(2);
    expect(flat(stderr)).toContain('got mlp, but the blocks of vim_tiny have no MLP');
  });
});

describe('weights with positions for images of another size', () => {
  const resampled = /resampled from 4x4 to 2x2 patches/;
  const training = ['--epochs', '1', '--batch-size', '8', '--image-size', '8'];
  const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];

  it('are resampled for a training where that is asked for', async () => {
    const train = ['train', '--from', at('files', 'vit.pth'), '--arch', 'vit_tiny', ...data()];
    train.push('--d-model', '12', '--depth', '1', '--heads', '3');
    const refused = await runCli([...train, ...training, '--out', at('refused')]);
    expect(refused.status).toBe(2);
    expect(flat(refused.stderr)).toContain('--resample-positions');
    const taken = await runCli([...train, ...training, '--resample-positions', '--out', at('a')]);
    expect(taken.status, taken.stderr).toBe(0);
    expect(flat(taken.stderr)).toMatch(resampled);
    expect(loadModel(at('a', 'model.safetensors')).model.config).toMatchObject({
      imageSize: 8,
      numClasses: 2,
    });
  });

  it('are resampled for imp where that is asked for', async () => {
    const { status, stderr } = await runCli([
      ...words('imp --arch vit_tiny --vit_structured --pretrained'),
      at('files', 'vit.pth'),
      ...words('--d_model 12 --depth 1 --heads 3'),
      ...data(),
      ...words('--image_size 8 --resample_positions --epochs 1 --warmup 0'),
      ...words('--batch_size 8 --pruning_times 1 --rate 0.4 --save_dir'),
      at('vit'),
    ]);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toMatch(resampled);
    expect(loadModel(at('vit', 'model.safetensors')).model.config.imageSize).toBe(8);
  });

  it('is nothing to ask for without weights', async () => {
    for (const argv of [
      ['train', ...data(), ...training, '--resample-positions', '--out', at('never')],
      ['imp', '--resample_positions', '--exp_name', 'never'],
    ]) {
      const { status, stderr } = await runCli(argv);
      expect(status).toBe(2);
      expect(flat(stderr)).toMatch(/resample[-_]positions.*Leave it out\./);
    }
  });
});

describe('the library', () => {
  it.each([
    (): unknown => loadModel('pretrained:vim_tiny'),
    (): unknown => openModelFile('pretrained:vim_tiny'),
  ])('says that published weights are downloaded before they are opened: %s', async (open) => {
    await expect(Promise.resolve().then(open)).rejects.toThrow(
      "pretrained:vim_tiny: these weights have to be downloaded before they are opened, expected a file: that of `(await fetchPublished('vim_tiny')).path`.",
    );
  });
});

describe('mamba-prune models', () => {
  it('lists what is published beside the trained ones, with all that is known in its JSON', async () => {
    vi.stubEnv('MAMBA_PRUNE_MODELS', '');
    const shown = await runCli(['models']);
    expect(shown.stdout).toMatch(/^ {2}vim_tiny +imagenet +76\.1% +224 +apache-2\.0 +110 MiB$/m);
    expect(Math.max(...shown.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(
      80,
    );
    const { published } = JSON.parse((await runCli(['models', '--json'])).stdout) as {
      published: { name: string }[];
    };
    expect(published.find(({ name }) => name === 'vim_tiny_stride8')).toMatchObject({
      model: 'pretrained:vim_tiny_stride8',
      arch: 'vim_tiny',
      options: { stride: 8 },
      address: 'hf:hustvl/Vim-tiny-midclstok:vim_t_midclstok_ft_78p3acc.pth',
      license: 'apache-2.0',
    });
  });
});
