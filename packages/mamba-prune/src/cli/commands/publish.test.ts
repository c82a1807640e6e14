// A model as a folder for the hub, into a hub that runs here, and back.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { ownLogits, syntheticImages } from '../../export/verify.js';
import { HubServer } from '../../hub/testing/hub-server.js';
import { loadModel } from '../../models/model-file.js';
import { trainRun } from '../../workflows/train-run.js';
import { pruneRun } from '../../workflows/prune/run.js';
import { tinyPruning, tinyTraining, writeTinyImages } from '../../workflows/testing/tiny.js';
import { runCli } from '../testing/run-cli.js';

let folder = '';
let server: HubServer;
const at = (...path: string[]): string => join(folder, ...path);
const text = (...path: string[]): string => readFileSync(at(...path), 'utf8');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-publish-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  vi.stubEnv('HF_HUB_CACHE', at('hub-cache'));
  vi.stubEnv('HF_TOKEN', 'hf_writer');
  await writeTinyImages(at('images'));
  (await trainRun(tinyTraining(at('images')), { out: at('dense') })).model.dispose();
  const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'), {
    recipe: { epochs: 1, batchSize: 8, lr: 3e-3, seed: 4 },
  });
  (await pruneRun(settings, { out: at('pruned') })).model.dispose();
});

beforeEach(async () => {
  server = await HubServer.start({
    'lab/there': { refs: { main: '1'.repeat(40) }, files: {} },
  });
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
  return () => {
    server.stop();
  };
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli([...argv, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const names = [
  'README.md',
  'config.json',
  'model.safetensors',
  'onnx/model.onnx',
  'onnx/model_fp16.onnx',
  'onnx/model_quantized.onnx',
  'preprocessor_config.json',
];

const hf = (model: string, out: string, ...more: string[]): string[] => [
  'export',
  at(model),
  '--format',
  'hf',
  '--out',
  at(out),
  ...more,
];

describe('export --format hf', () => {
  it('writes the files that libraries of the hub look for, and says what was checked', async () => {
    const data = ['--dataset', 'folder', '--data', at('images'), '--license', 'mit'];
    const outcome = await json(hf('pruned', 'hub/pruned', ...data, '--repo', 'lab/cut'));
    expect(outcome).toMatchObject({
      format: 'hf',
      license: 'mit',
      verifiedOn: 'test images of folder',
      accuracy: { images: 16 },
      forms: [
        { file: 'onnx/model.onnx', dtype: 'fp32', precision: 'float32' },
        { file: 'onnx/model_fp16.onnx', dtype: 'fp16', precision: 'float16' },
        { file: 'onnx/model_quantized.onnx', dtype: 'q8', precision: 'int8' },
      ],
    });
    const { files, forms, accuracy } = outcome as {
      files: { file: string }[];
      forms: { accuracy: { accuracy: number } }[];
      accuracy: { accuracy: number };
    };
    expect(files.map(({ file }) => file)).toEqual(names);
    // The same numbers but for the rounding of sums, on which no image of these hangs.
    expect(forms[0]?.accuracy.accuracy).toBe(accuracy.accuracy);
    const config = JSON.parse(text('hub', 'pruned', 'config.json')) as Record<string, unknown>;
    expect(config).toMatchObject({
      architectures: ['VisionMamba'],
      id2label: { '0': 'left', '1': 'right' },
      label2id: { left: 0, right: 1 },
      image_size: 8,
    });
    const { model } = loadModel(at('pruned', 'model.safetensors'));
    expect(config['mamba_prune']).toMatchObject({ model: model.config });
    expect(JSON.parse(text('hub', 'pruned', 'preprocessor_config.json'))).toMatchObject({
      size: { shortest_edge: 9 },
      crop_size: { height: 8, width: 8 },
      resample: 2,
      image_mean: loadModel(at('pruned', 'model.safetensors')).info.mean,
    });
    // Neither a half-written folder nor a way back to this machine.
    expect(readdirSync(at('hub'))).toEqual(['pruned']);
    for (const name of names) {
      expect(readFileSync(at('hub', 'pruned', name)).includes(folder), name).toBe(false);
    }
  });

  it('tells the hub and people what was cut, in a card that its front matter fits', () => {
    const card = text('hub', 'pruned', 'README.md');
    const [, front = '', page = ''] = card.split(/^---$/m);
    const { model, info } = loadModel(at('pruned', 'model.safetensors'));
    const dense = loadModel(at('dense', 'model.safetensors'));
    const accuracy = info.history.at(-1)?.['accuracy'] as number;
    expect(parse(front)).toEqual({
      license: 'mit',
      library_name: 'mamba-prune',
      pipeline_tag: 'image-classification',
      tags: ['mamba-prune', 'onnx', 'transformers.js', 'mamba', 'pruned', 'structured-pruning'],
      metrics: ['accuracy'],
      'model-index': [
        {
          name: 'cut',
          results: [
            {
              task: { type: 'image-classification' },
              dataset: { type: 'imagefolder', name: 'images in folders' },
              metrics: [{ type: 'accuracy', value: accuracy }],
            },
          ],
        },
      ],
    });
    const macs = (of: typeof model): number =>
      of.macs().reduce((sum, entry) => sum + entry.macs, 0);
    const number = (value: number): string => value.toLocaleString('en');
    expect(page).toContain('This is a pruned mamba_nano');
    expect(page).toMatch(/\| units of kind `ssm` \| 32 \| 10 \| 68\.8% \|/);
    expect(page).toContain(
      `| parameters | ${number(dense.model.numParameters())} | ${number(model.numParameters())} |`,
    );
    expect(page).toContain(`| MACs | ${number(macs(dense.model))} | ${number(macs(model))} |`);
    expect(page).toContain('of the method oneshot cut it (asked for: ssm 70.0%, mlp 70.0%)');
    expect(page).toContain("pipeline('image-classification', 'lab/cut', { dtype: 'fp32' })");
    expect(page).toContain('predict hf:lab/cut picture.jpg');
  });

  it('tells a budget that was asked for from the rates that it came to, and that weights were changed', async () => {
    const prune = ['prune', at('dense'), '--target-params', '0.6x', '--compensate'];
    await json([...prune, '--dataset', 'folder', '--data', at('images'), '--out', at('budget')]);
    expect((await runCli(hf('budget', 'cards/budget', '--no-verify'))).status).toBe(0);
    const card = text('cards', 'budget', 'README.md');
    expect(card).toMatch(/\(asked for: params 0\.6x, of which came ssm [\d.]+%, mlp [\d.]+%\)/);
    expect(card).toContain('were changed at the cut to make up for them.');
  });

  it('says that nobody knows the license, and names the folder where no repository is given', async () => {
    const { stderr, status } = await runCli(hf('dense', 'hub/dense'));
    expect(status).toBe(0);
    expect(stderr).toContain('The card says `license: unknown`. Give --license');
    const card = text('hub', 'dense', 'README.md');
    expect(card).toContain('license: unknown\n');
    expect(card).toContain('hf:OWNER/dense');
    expect(card).not.toContain('## Pruning');
  });

  it('is never written over a run, whose config.json has the same name', async () => {
    const before = text('dense', 'config.json');
    for (const more of [[], ['--overwrite']]) {
      const { status, stderr } = await runCli(hf('dense', 'dense', ...more));
      expect(status).toBe(2);
      expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
        'is the folder of a run, whose config.json would be lost, expected another folder. Give a name such as',
      );
    }
    expect(text('dense', 'config.json')).toBe(before);
    expect(readdirSync(at('dense'))).not.toContain('onnx');
  });

  it('is no folder by the name of a file', async () => {
    const { status, stderr } = await runCli(hf('dense', 'hub.safetensors'));
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      `--out: ${at('hub.safetensors')} ends in .safetensors, but --format hf writes a folder. Give the name of one`,
    );
    expect(existsSync(at('hub.safetensors'))).toBe(false);
  });

  it('replaces its own files with --overwrite, and none of the others', async () => {
    const again = await runCli(hf('dense', 'hub/dense'));
    expect(again.status).toBe(2);
    expect(again.stderr).toContain(
      'exists, expected a new folder. Give another name, or --overwrite',
    );
    writeFileSync(at('hub', 'dense', 'picture.png'), 'mine');
    writeFileSync(at('hub', 'dense', 'config.json'), '{}');
    await json(hf('dense', 'hub/dense', '--overwrite'));
    expect(text('hub', 'dense', 'picture.png')).toBe('mine');
    expect(text('hub', 'dense', 'config.json')).toContain('mamba_prune');
    expect(readdirSync(at('hub')).sort()).toEqual(['dense', 'pruned']);
  });

  it.each([
    [['--dtype', 'float16'], '--dtype: belongs to --format onnx or safetensors, not hf'],
    [['--quantize', 'int8'], '--quantize: belongs to --format onnx, not hf'],
    [['--input', 'uint8'], '--input: belongs to --format onnx, not hf'],
    [['--license', 'MIT License'], "--license: got 'MIT License', expected a license as the hub"],
    [['--repo', 'cut'], "--repo: got 'cut', expected owner/name"],
  ])('refuses %s', async (more, words) => {
    const { status, stderr } = await runCli(hf('dense', 'hub/none', ...more));
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(words);
    expect(existsSync(at('hub', 'none'))).toBe(false);
  });

  it('is the only format with a license and a repository, and the only one of a folder', async () => {
    const argv = ['export', at('dense'), '--out', at('x.onnx')];
    for (const [flag, value] of [
      ['--license', 'mit'],
      ['--repo', 'a/b'],
    ] as const) {
      const { status, stderr } = await runCli([...argv, flag, value]);
      expect(status).toBe(2);
      expect(stderr).toContain(`${flag}: belongs to --format hf, not onnx.`);
    }
    const file = await runCli(hf('dense', 'images/../dense/model.safetensors'));
    expect(file.status).toBe(2);
    expect(file.stderr).toContain('is a file, expected the folder to write');
  });
});

describe('a folder for the hub', () => {
  it('is a MODEL, and its ONNX files are too', async () => {
    const image = at('images', 'test', 'left', '0.png');
    const probabilities = async (model: string): Promise<number[]> => {
      const { predictions } = (await json(['predict', model, image])) as {
        predictions: { top: { index: number; probability: number }[] }[];
      };
      const top = predictions[0]?.top ?? [];
      return [...top].sort((a, b) => a.index - b.index).map(({ probability }) => probability);
    };
    const own = await probabilities(at('pruned'));
    expect(await probabilities(at('hub', 'pruned'))).toEqual(own);
    const onnx = await probabilities(at('hub', 'pruned', 'onnx', 'model.onnx'));
    // Sums in another order.
    onnx.forEach((value, i) => {
      expect(value).toBeCloseTo(own[i] ?? NaN, 5);
    });
  });
});

describe('push', () => {
  it('uploads the folder, from which hf:owner/name has the same logits to the bit', async () => {
    const pushed = await json(['push', at('hub', 'pruned'), 'lab/cut', '--create', '--private']);
    expect(pushed).toMatchObject({ repo: 'lab/cut', revision: 'main', created: true });
    expect((pushed['files'] as { file: string }[]).map(({ file }) => file)).toEqual(names);
    expect(server.repos['lab/cut']?.private).toBe(true);
    const { path } = await json(['inspect', 'hf:lab/cut']);
    const { model, info } = loadModel(at('pruned', 'model.safetensors'));
    const again = loadModel(path as string);
    const images = syntheticImages(3, model.config);
    expect(ownLogits(again.model, again.info, images)).toEqual(ownLogits(model, info, images));
    // It goes on from there.
    const train = ['train', '--from', 'hf:lab/cut', '--dataset', 'folder', '--data', at('images')];
    await json([...train, '--image-size', '8', '--epochs', '1', '--out', at('further')]);
    const { model: further } = loadModel(at('further', 'model.safetensors'));
    expect((await runCli(hf('further', 'cards/further', '--no-verify'))).status).toBe(0);
    const card = text('cards', 'further', 'README.md');
    expect(card).toContain('base_model: lab/cut\n');
    expect(card).toContain(' for 1 epoch, beginning with hf:lab/cut.');
    expect(further.config).toEqual(model.config);
  });

  it('makes a folder of a run on the way, with the name of the repository in its card', async () => {
    const { stdout, stderr, status } = await runCli([
      'push',
      at('dense'),
      'hf:lab/there',
      '--license',
      'mit',
      '--message',
      'First',
    ]);
    expect(status, stderr).toBe(0);
    expect(stdout).toContain(`${server.endpoint}/lab/there\n`);
    expect(stdout).toMatch(/as MODEL +hf:lab\/there\n/);
    expect(server.push.commits).toEqual([
      { repo: 'lab/there', branch: 'main', summary: 'First', files: names },
    ]);
    const card = server.repos['lab/there']?.files['README.md']?.toString() ?? '';
    expect(card).toContain('license: mit\n');
    expect(card).toContain('# there\n');
    expect(card).toContain("'lab/there', { dtype");
  });

  it.each([
    [['pruned', 'lab'], "push: got 'lab', expected owner/name", 2],
    [['hub/pruned', 'lab/x', '--private'], '--private: is about a repository that push makes', 2],
    [['hub/pruned', 'lab/x', '--license', 'mit'], 'has its card already', 2],
    [['missing', 'lab/x'], 'missing does not exist', 2],
    [['dense', 'lab/x', '--revision', ''], '--revision: got an empty text, expected', 2],
    [['hub/pruned', 'lab/x'], 'the hub answered 404: there is no such repository', 1],
  ] as const)('%s is refused', async ([model, ...rest], words, expected) => {
    const { status, stdout, stderr } = await runCli(['push', at(model), ...rest, '--json']);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(words);
    expect(status).toBe(expected);
    expect(JSON.parse(stdout)).toMatchObject({ exitStatus: expected });
    expect(server.push.commits).toEqual([]);
  });

  it('asks for a token before it exports anything, and prints none', async () => {
    vi.stubEnv('HF_TOKEN', '');
    vi.stubEnv('HF_HOME', at('no-home'));
    mkdirSync(at('no-home'));
    const { status, stderr } = await runCli(['push', at('dense'), 'lab/there']);
    expect(status).toBe(1);
    expect(stderr).toContain('got no token, expected one that may write there');
    const missing = await runCli(['push', at('missing'), 'lab/there']);
    expect(missing.stderr).toContain('missing does not exist');
    expect(missing.status).toBe(2);
    vi.stubEnv('HF_TOKEN', 'hf_reader');
    const refused = await runCli(['push', at('hub', 'pruned'), 'lab/there', '--json']);
    expect(refused.status).toBe(1);
    expect(refused.stderr + refused.stdout).toContain('the token may not write to it');
    expect(refused.stderr + refused.stdout).not.toContain('hf_reader');
    vi.stubEnv('HF_TOKEN', 'hf_writer');
  });

  it('takes no folder that is not whole, or none', async () => {
    const push = async (name: string) => runCli(['push', at(name), 'lab/there']);
    for (const name of ['no-weights', 'torn', 'no-card'])
      cpSync(at('hub', 'pruned'), at(name), { recursive: true });
    rmSync(at('no-weights', 'model.safetensors'));
    truncateSync(at('torn', 'model.safetensors'), 200);
    rmSync(at('no-card', 'README.md'));
    mkdirSync(at('notes'));
    writeFileSync(at('notes', 'notes.txt'), 'none');
    for (const [name, words, expected] of [
      [
        'no-weights',
        /has no model\.safetensors, expected the whole folder .* Export the model again/,
        2,
      ],
      ['torn', /torn\/model\.safetensors/, 1],
      [
        'notes',
        /without a model, expected one that export --format hf has written, .* Write one:/,
        2,
      ],
      ['images', /is a folder without a model/, 2],
    ] as const) {
      const { status, stderr } = await push(name);
      expect(stderr).toMatch(words);
      expect(status, name).toBe(expected);
    }
    expect(server.push.commits).toEqual([]);
    const { status, stderr } = await push('no-card');
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'has no README.md, so that the repository gets no',
    );
    expect(status).toBe(0);
  });

  it('says that nobody knows the license of a run, and asks nothing where it is offline', async () => {
    const { status, stderr } = await runCli(['push', at('pruned'), 'lab/there']);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'The card says `license: unknown`. Give --license',
    );
    expect(status).toBe(0);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const offline = await runCli(['push', at('hub', 'pruned'), 'lab/there']);
    vi.stubEnv('HF_HUB_OFFLINE', '');
    expect(offline.stderr).toContain('lab/there: HF_HUB_OFFLINE is set');
    expect(offline.status).toBe(1);
    expect(server.push.commits).toHaveLength(1);
  });

  it('stops with the command that goes on', async () => {
    server.push.onRequest = (path) => {
      if (path.includes('preupload')) process.emit('SIGINT');
    };
    const { status, stderr } = await runCli(['push', at('hub', 'pruned'), 'lab/there']);
    expect(stderr).toContain('Stopped. Nothing was committed.');
    expect(stderr).toContain(`Go on with:  npx mamba-prune push ${at('hub', 'pruned')} lab/there`);
    expect(status).toBe(130);
    expect(server.push.commits).toEqual([]);
  });
});
