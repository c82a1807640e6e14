// Every command that takes MODEL, given every kind of file: in the command line a model is a model.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HubServer } from '../hub/testing/hub-server.js';
import { loadModel } from '../models/model-file.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { writeBoxedModels } from './testing/boxed-models.js';
import { smallFlags, smallInfo, writeModelFiles } from './testing/model-files.js';
import { type Outcome, runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-model-files-'));
const at = (...path: string[]): string => join(folder, ...path);
let server: HubServer;
let runs = 0;

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  vi.stubEnv('HF_HUB_CACHE', at('hub'));
  vi.stubEnv('HF_TOKEN_PATH', at('no-token'));
  await writeTinyImages(at('images'));
  server = await HubServer.start(writeModelFiles(folder));
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
  const { model, info } = loadModel(at('ours.safetensors'));
  writeBoxedModels(at('box'), [{ name: 'lab/small', model, info }]);
  model.dispose();
  vi.stubEnv('MAMBA_PRUNE_MODELS', at('box'));
});

afterAll(() => {
  server.stop();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const image = (): string => at('images', 'test', 'left', '0.png');
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];
const out = (): string => at(`out-${++runs}`);
const bench = ['--batch', '1', '--runs', '1', '--min-time', '0'];
const short = (): string[] => [...data(), '--epochs', '1', '--batch-size', '32'];

interface CommandCase {
  readonly name: string;
  readonly argv: (model: string, flags: readonly string[]) => string[];
  /** Whether classes, mean and deviation are those of the data. */
  readonly takesDataInfo?: true;
  readonly takesOnnx?: true;
}

/** The flags of `imp` have the script's spelling. */
const scriptFlags = (flags: readonly string[]): string[] =>
  flags.map((flag) => (flag.startsWith('--') ? `--${flag.slice(2).replaceAll('-', '_')}` : flag));

const impOf = (option: string) => (model: string, flags: readonly string[]) => [
  'imp',
  option,
  model,
  ...scriptFlags(flags),
  '--mamba_structured',
  ...data(),
  '--image_size',
  '8',
  '--epochs',
  '1',
  '--warmup',
  '0',
  '--pruning_times',
  '1',
  '--batch_size',
  '32',
  '--save_dir',
  out(),
];

const commands: readonly CommandCase[] = [
  { name: 'inspect', argv: (model, flags) => ['inspect', model, ...flags] },
  {
    name: 'eval',
    argv: (model, flags) => ['eval', model, ...flags, ...data()],
    takesOnnx: true,
  },
  {
    name: 'predict',
    argv: (model, flags) => ['predict', model, image(), ...flags],
    takesOnnx: true,
  },
  { name: 'bench', argv: (model, flags) => ['bench', model, ...flags, ...bench], takesOnnx: true },
  {
    name: 'prune',
    argv: (model, flags) => ['prune', model, ...flags, '--rate', '0.5', '--out', out()],
  },
  {
    name: 'train --from',
    argv: (model, flags) => [
      'train',
      '--from',
      model,
      ...flags,
      ...short(),
      '--image-size',
      '8',
      '--out',
      out(),
    ],
    takesDataInfo: true,
  },
  {
    name: 'export',
    argv: (model, flags) => ['export', model, ...flags, '--out', `${out()}/a/b.safetensors`],
  },
  { name: 'imp --pretrained', argv: impOf('--pretrained'), takesDataInfo: true },
  { name: 'imp --mamba_pretrained', argv: impOf('--mamba_pretrained'), takesDataInfo: true },
  { name: 'imp --init', argv: impOf('--init'), takesDataInfo: true },
];

interface FileCase {
  readonly name: string;
  readonly flags?: readonly string[];
  /** Whether it tells nothing of the pixels. */
  readonly isBare?: true;
  readonly hasCard?: true;
}

const files: readonly FileCase[] = [
  { name: 'ours.safetensors' },
  { name: 'run' },
  { name: 'bare.safetensors', isBare: true },
  { name: 'net.pth', isBare: true },
  // By content, never by name.
  { name: 'net', isBare: true },
  { name: 'net.safetensors', isBare: true },
  { name: 'net.onnx', isBare: true },
  { name: 'nested.ckpt', flags: ['--weights', 'teacher'], isBare: true },
  { name: 'snapshot', hasCard: true },
  { name: 'card/weights.safetensors', hasCard: true },
  { name: 'hf:lab/torch', isBare: true },
  { name: 'hf:lab/timm', hasCard: true },
  { name: 'models:lab/small' },
];

const pathOf = (name: string): string => (/^(hf|models):/.test(name) ? name : at(name));

type Facts = Record<'assumed' | 'notes', string[]> & { model: string };

/** Where the JSON of a command speaks of the file. */
function factsOf(command: string, json: Record<string, unknown>): Facts {
  if (command === 'bench') return (json['models'] as Facts[])[0] as Facts;
  return (command === 'train --from' ? json['from'] : json) as Facts;
}

const usualPixels = [
  'mean 0.485/0.456/0.406',
  'std 0.229/0.224/0.225',
  'interpolation bilinear',
  'cropShare 0.875',
];

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe.each(commands)('$name', ({ name: command, argv, takesDataInfo, takesOnnx }) => {
  it.each(files)('takes $name, and says what it had to assume', async (file) => {
    const flags = [...smallFlags, ...(file.flags ?? [])];
    const { status, stdout, stderr } = await runCli([...argv(pathOf(file.name), flags), '--json']);
    expect(status, stderr).toBe(0);
    const facts = factsOf(command, JSON.parse(stdout) as Record<string, unknown>);
    if (command !== 'imp --init') expect(typeof facts.model).toBe('string');
    const assumesPixels = file.isBare === true && takesDataInfo !== true;
    expect(facts.assumed).toEqual(assumesPixels ? usualPixels : []);
    const said =
      'does not tell everything. Assumed: --mean 0.485,0.456,0.406, --std 0.229,0.224,0.225, ' +
      '--interpolation bilinear, --crop-share 0.875.';
    if (assumesPixels) expect(flat(stderr)).toContain(said);
    else expect(stderr).not.toContain('Assumed');
    if (file.hasCard === true && command !== 'imp --init') {
      expect(facts.notes.join()).toContain('Taken from the config.json beside it: ');
    }
  });

  it('takes what a file of ours says itself, and nothing else', async () => {
    const ours = at('ours.safetensors');
    for (const flags of [
      ['--arch', 'mamba_nano', '--d-model', '16', '--depth', '1', '--d-state', '2'],
      ['--arch', 'mamba_tiny', '--d-model', '8', '--depth', '1', '--d-state', '2'],
    ]) {
      const { status, stderr } = await runCli(argv(ours, flags));
      expect(stderr).toContain(`${ours}: got a model of --`);
      expect(stderr).toContain('the file describes itself');
      expect(stderr).not.toContain('`');
      expect(status).toBe(2);
    }
  });

  it.each(['ours.onnx', 'ours.bin'])('of ONNX in %s: takes it or says who does', async (name) => {
    const { status, stderr } = await runCli(argv(at(name), smallFlags));
    if (takesOnnx === true) expect(status, stderr).toBe(0);
    else {
      expect(stderr).toContain(
        `${at(name)} is an ONNX file, which only eval, predict and bench take.`,
      );
      expect(status).toBe(2);
    }
  });
});

describe('a file that is none', () => {
  beforeAll(() => {
    writeFileSync(at('page.pth'), '<!DOCTYPE html><html>404: not found</html>');
    writeFileSync(at('empty.safetensors'), '');
    const whole = readFileSync(at('net.pth'));
    writeFileSync(at('cut.pt'), whole.subarray(0, whole.length / 2));
    writeFileSync(at('model.safetensors.index.json'), '{"weight_map": {}}');
    mkdirSync(at('nothing'));
    mkdirSync(at('split'));
    for (const name of ['model-00001-of-00002.safetensors', 'model.safetensors.index.json']) {
      writeFileSync(at('split', name), '{}');
    }
    mkdirSync(at('two'));
    for (const name of ['a.pth', 'b.pth']) writeFileSync(at('two', name), whole);
  });

  /** Without the command's name, by which every message begins. */
  const sentence = ({ stderr }: Outcome): string => stderr.replaceAll(/^mamba-prune \w+: /gm, '');

  it.each([
    'page.pth',
    'empty.safetensors',
    'cut.pt',
    'model.safetensors.index.json',
    'nothing',
    'split',
    'two',
  ])('%s: every command says the same, with its name', async (name) => {
    const said = new Set<string>();
    for (const { argv } of commands) {
      const outcome = await runCli(argv(at(name), smallFlags));
      expect([1, 2]).toContain(outcome.status);
      said.add(sentence(outcome).trim().split('\n').at(-1) ?? '');
    }
    expect([...said]).toEqual([expect.stringContaining(at(name))]);
    expect([...said].join()).not.toMatch(/`| {4}at /);
  });

  it('does not exist: every command says what there may be', async () => {
    for (const { argv, takesOnnx } of commands) {
      const { status, stderr } = await runCli(argv(at('missing.pth'), smallFlags));
      const onnx = takesOnnx === true ? ', an .onnx file' : '';
      expect(stderr).toContain(
        `${at('missing.pth')} does not exist, expected a file of weights (.safetensors, or as torch.save writes it)${onnx}, a run folder, hf:owner/name, pretrained:NAME or models:NAME (see 'npx mamba-prune models').`,
      );
      expect(status).toBe(2);
    }
  });

  it.each([
    ['net.pth/deeper', 'does not exist'],
    [`${'x'.repeat(300)}.pth`, 'cannot be opened (ENAMETOOLONG'],
    ['ring.pth', 'cannot be opened (ELOOP'],
  ])('%s cannot be there: every command says so', async (name, message) => {
    if (!existsSync(at('ring-2.pth'))) {
      rmSync(at('ring.pth'), { force: true });
      symlinkSync(at('ring-2.pth'), at('ring.pth'));
      rmSync(at('ring-2.pth'), { force: true });
      symlinkSync(at('ring.pth'), at('ring-2.pth'));
    }
    for (const { argv } of commands) {
      const { status, stderr } = await runCli(argv(at(name), smallFlags));
      expect(stderr).toContain(`${at(name)} ${message}`);
      expect(status).toBe(2);
    }
  });

  it('misses an option: every command names the flag that it has', async () => {
    for (const { name, argv } of commands) {
      // The architecture has a default in imp.
      if (name.startsWith('imp')) continue;
      const { status, stderr } = await runCli(argv(at('net.pth'), []));
      expect(stderr).toMatch(/one direction of scanning.*Say which with --scan\./);
      expect(stderr).not.toContain('`');
      expect(status).toBe(2);
      const keyed = await runCli(argv(at('net.pth'), [...smallFlags, '--weights', 'none']));
      expect(keyed.stderr).toMatch(/--weights\b.*"none"/);
      const foreign = await runCli(argv(at('net.pth'), [...smallFlags, '--heads', '2']));
      expect(foreign.stderr).toMatch(/mamba_nano: got the option --heads, expected some of --/);
      expect(foreign.stderr).not.toMatch(/numClasses|dConv|mlpRatio/);
    }
  });
});

describe('what was said of a file of another program', () => {
  it('is kept in the run that prunes it, which goes on without it', async () => {
    const run = at('said');
    const said = ['--classes', 'left,right', '--mean', '0.1,0.2,0.3', '--std', '0.4,0.5,0.6'];
    const more = [...smallFlags, ...said, ...short(), '--rate', '0.5', '--out', run];
    const teacher = ['--distill', '0.5', '--rewind', 'source'];
    const first = await runCli(['prune', at('net.pth'), ...more, ...teacher]);
    expect(first.status, first.stderr).toBe(0);
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as {
      settings: object;
    };
    expect(config).toMatchObject({
      args: expect.arrayContaining([at('net.pth'), '--mean']) as string[],
      source: { path: at('net.pth') },
      settings: { import: { mean: [0.1, 0.2, 0.3], classes: ['left', 'right'] } },
    });
    const { model, info } = loadModel(join(run, 'model.safetensors'));
    model.dispose();
    expect(info).toMatchObject({
      classes: ['left', 'right'],
      mean: [0.1, 0.2, 0.3],
      history: [
        // The fine-tuning has prepared its images so: nothing of that is assumed any more.
        { step: 'import', file: 'net.pth', assumed: [] },
        { step: 'prune' },
        {},
      ],
    });
    const again = await runCli(['prune', '--resume', '--epochs', '2', '--out', run, '--json']);
    expect(again.status, again.stderr).toBe(0);
    const other = await runCli(['prune', '--resume', '--mean', '0,0,0', '--out', run]);
    expect(other.stderr).toContain(
      'is not the one that the run began with: --mean: got [0,0,0], expected [0.1,0.2,0.3]',
    );
    expect(other.status).toBe(2);
  });

  it('needs no sizes, which every shape tells, to train on from it and to resume', async () => {
    const run = at('own-sizes');
    const more = ['--scan', 'uni', ...short(), '--image-size', '8'];
    const first = await runCli(['train', '--from', at('net.pth'), ...more, '--out', run]);
    expect(first.status, first.stderr).toBe(0);
    const { model } = loadModel(join(run, 'model.safetensors'));
    expect(model.config).toMatchObject({ dModel: 8, depth: 1 });
    model.dispose();
    const again = await runCli(['train', '--resume', '--epochs', '2', '--out', run]);
    expect(again.status, again.stderr).toBe(0);
  });

  it('is kept in the run that trains it, which names the file', async () => {
    const run = at('trained');
    const more = [...smallFlags, '--weights', 'teacher', ...short(), '--image-size', '8'];
    const argv = ['train', '--from', at('nested.ckpt'), ...more, '--out', run];
    const first = await runCli(argv);
    expect(first.status, first.stderr).toBe(0);
    const { model, info } = loadModel(join(run, 'model.safetensors'));
    model.dispose();
    expect(info.history).toMatchObject([
      { step: 'import', file: 'nested.ckpt', key: 'teacher' },
      { step: 'train', from: at('nested.ckpt') },
    ]);
    const again = await runCli(['train', '--resume', '--epochs', '2', '--out', run]);
    expect(again.status, again.stderr).toBe(0);
    expect(loadModel(join(run, 'model.safetensors')).info.history).toMatchObject([
      { step: 'import', file: 'nested.ckpt' },
      { step: 'train', epochs: 2 },
    ]);
  });

  it('names the repository and the commit of the hub', async () => {
    const to = at('from-hub.safetensors');
    const { status, stderr } = await runCli(['export', 'hf:lab/timm', ...smallFlags, '--out', to]);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toContain(
      'hf:lab/timm has several files of weights: model.safetensors was taken, not pytorch_model.bin.',
    );
    const { model, info } = loadModel(to);
    model.dispose();
    expect(info).toMatchObject({ classes: smallInfo.classes, mean: smallInfo.mean });
    expect(info.history).toMatchObject([
      { step: 'import', source: `hf:lab/timm@${'a'.repeat(40)}:model.safetensors`, assumed: [] },
    ]);
  });

  it('is said of what was made from it, where it was assumed', async () => {
    const to = at('made.safetensors');
    const made = await runCli(['export', at('net.pth'), ...smallFlags, '--out', to]);
    expect(made.status, made.stderr).toBe(0);
    const { stdout, stderr } = await runCli(['inspect', to, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      assumed: usualPixels,
    });
    expect(flat(stderr)).toContain(
      'made.safetensors: when its weights were imported, this was assumed: --mean 0.485,0.456,0.406, --std',
    );
    // It would be refused.
    expect(stderr).not.toContain('Give what is otherwise');
  });

  it('takes names of classes from a file, and refuses what is no list of names', async () => {
    writeFileSync(at('names.txt'), '\uFEFFcat, big\r\ndog\r\n');
    const predicted = await runCli([
      'predict',
      at('net.pth'),
      image(),
      ...smallFlags,
      '--classes',
      at('names.txt'),
      '--json',
    ]);
    const { predictions } = JSON.parse(predicted.stdout) as {
      predictions: { top: { name: string }[] }[];
    };
    expect(predictions[0]?.top.map(({ name }) => name).sort()).toEqual(['cat, big', 'dog']);
    writeFileSync(at('gap.txt'), 'cat\n\ndog\n');
    for (const [classes, message] of [
      [at('gap.txt'), `--classes: name 2 of 3 is empty in ${at('gap.txt')}`],
      ['cat,', "--classes: name 2 of 2 is empty in 'cat,'"],
      [at('gone.txt'), `--classes: ${at('gone.txt')} is no file, expected names`],
      ['cat,dog,bird', 'got 3 values for --classes (cat, dog, bird), expected 2'],
    ] as const) {
      const refused = await runCli(['inspect', at('net.pth'), ...smallFlags, '--classes', classes]);
      expect(refused.stderr).toContain(message);
      expect(refused.status).toBe(2);
    }
  });

  it('names the classes of an ONNX file that has no names', async () => {
    const to = at('unnamed.onnx');
    const made = await runCli(['export', at('net.pth'), ...smallFlags, '--out', to]);
    expect(made.status, made.stderr).toBe(0);
    const predicted = await runCli(['predict', to, image(), '--classes', 'cat,dog', '--json']);
    const { predictions } = JSON.parse(predicted.stdout) as {
      predictions: { top: { name: string }[] }[];
    };
    expect(predictions[0]?.top.map(({ name }) => name).sort()).toEqual(['cat', 'dog']);
  });

  it('is of the other programs among several models', async () => {
    const { status, stderr, stdout } = await runCli([
      'bench',
      at('ours.safetensors'),
      at('ours.onnx'),
      at('net.pth'),
      ...bench,
      '--json',
      ...smallFlags,
      '--mean',
      '0.1,0.2,0.3',
      '--std',
      '1,1,1',
    ]);
    expect(status, stderr).toBe(0);
    const { models } = JSON.parse(stdout) as { models: Facts[] };
    expect(models.map(({ model, assumed }) => [model, assumed])).toEqual([
      [at('ours.safetensors'), []],
      [at('ours.onnx'), []],
      [at('net.pth'), usualPixels.slice(2)],
    ]);
    for (const name of ['ours.safetensors', 'ours.onnx']) {
      const keyed = await runCli(['predict', at(name), image(), '--weights', 'ema']);
      expect(flat(keyed.stderr)).toContain(`got --weights 'ema' for ${at(name)}`);
      expect(keyed.status).toBe(2);
      const refused = await runCli(['bench', at(name), ...bench, '--mean', '0.1,0.2,0.3']);
      expect(refused.stderr).toContain('got a model of --mean 0.5,0.5,0.5, asked for 0.1,0.2,0.3');
      expect(refused.status).toBe(2);
    }
  });
});

describe('export --out', () => {
  it('makes its folder, and knows the endings there are before any work', async () => {
    const to = at('some', 'new', 'folder', 'x.onnx');
    const { status, stderr } = await runCli(['export', at('run'), '--out', to, '--no-verify']);
    expect(status, stderr).toBe(0);
    expect(existsSync(to)).toBe(true);
    for (const [more, message] of [
      [['--out', at('x.pth')], 'x.pth ends in .pth, expected .safetensors or .onnx'],
      [['--out', at('plain')], 'plain ends without a format, expected .safetensors or .onnx'],
      [['--out', at('x.onnx'), '--format', 'safetensors'], 'ends in .onnx, but --format is'],
      [['--out', folder], `${folder} is a folder, expected the file to write`],
      [['--out', at('net.pth', 'x.onnx')], 'is no folder and cannot be made one'],
    ] as const) {
      // The model is not there either: that would be found next.
      const refused = await runCli(['export', at('missing'), ...more]);
      expect(refused.stderr).toContain(message);
      expect(refused.status).toBe(2);
    }
    const chosen = await runCli([
      'export',
      at('run'),
      '--out',
      at('odd.name'),
      '--format',
      'safetensors',
    ]);
    expect(chosen.status, chosen.stderr).toBe(0);
  });
});
