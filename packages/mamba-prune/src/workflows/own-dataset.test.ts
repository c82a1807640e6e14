// A data set of one's own, as docs/data.md shows them, from registering to a pruned model.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../cli/testing/run-cli.js';
import {
  datasetNames,
  MemorySplit,
  openDataset,
  type OpenDatasetOptions,
  type OpenedDataset,
  registerDataset,
  verifyDataset,
} from '../data/index.js';
import { writeDocumentedModules, writeRecords } from '../data/testing/documented-modules.js';
import type { Preprocessing } from '../preparation/preprocessing.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { presetRecipe } from '../training/presets.js';
import { RunFolder } from '../training/run-folder.js';
import { pruneRun } from './prune/run.js';
import type { PruneSettings } from './prune/settings.js';
import { outcomeOf } from './testing/outcome.js';
import { tinyPruning, tinyRecipe } from './testing/tiny.js';
import { trainRun } from './train-run.js';
import type { TrainSettings } from './settings.js';

let folder = '';
let modules: Record<string, string> = {};
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-own-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  writeRecords(at('records'));
  const entry = fileURLToPath(new URL('../data/index.ts', import.meta.url));
  modules = writeDocumentedModules(at('modules'), entry);
  for (const path of Object.values(modules)) await import(path);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const shape = { dModel: 8, depth: 1, dState: 2 };
const flags = ['--threads', '1', '--device', 'cpu'];

/** Stops after the first epoch that ends. */
function stopping(): { signal: AbortSignal; hooks: { onEpoch: () => void } } {
  const stop = new AbortController();
  return {
    signal: stop.signal,
    hooks: {
      onEpoch: () => {
        stop.abort();
      },
    },
  };
}

describe.each([
  { name: 'bars', data: undefined, size: 8, channels: 1, counts: [32, 32] },
  { name: 'records', data: 'records', size: 16, channels: 3, counts: [16, 16, 16] },
])('$name, registered by a module', ({ name, data, size, channels, counts }) => {
  const given = (): { dataset: string; data?: string } => ({
    dataset: name,
    ...(data !== undefined && { data: at(data) }),
  });
  const dense = (): string => at(`${name}-dense`, 'model.safetensors');
  const training = (): TrainSettings => ({
    arch: 'mamba_nano',
    ...given(),
    model: shape,
    recipe: { ...tinyRecipe, epochs: 2, augment: 'standard' },
  });

  it('is known by its name, and fills in what it leaves out', async () => {
    expect(datasetNames()).toContain(name);
    const { info, train } = await openDataset(name, data === undefined ? {} : { dir: at(data) });
    expect(info).toMatchObject({ name, channels, height: size, width: size });
    expect(info.dir).toBe(data === undefined ? undefined : at(data));
    expect(info.preprocessing).toEqual({ interpolation: 'bilinear', cropShare: 1 });
    const pixels = await train.read([1, 0]);
    expect(pixels).toHaveLength(2 * channels * size * size);
    expect(pixels.subarray(pixels.length / 2)).toEqual(await train.read([0]));
    expect(presetRecipe('fast', name, 'train').epochs).toBe(name === 'records' ? 2 : 30);
  });

  it('is verified by reading every image', async () => {
    const done: number[] = [];
    const report = await verifyDataset(name, data && at(data), { onProgress: (n) => done.push(n) });
    expect(report).toMatchObject({ name, ok: true, problems: [], counts: { train: counts } });
    const total = [...report.counts.train, ...report.counts.test].reduce((sum, n) => sum + n, 0);
    expect(done.at(-1)).toBe(total);
  });

  it('is trained on and pruned; what was stopped goes on to the same bits', async () => {
    const whole = await trainRun(training(), { out: at(`${name}-dense`) });
    whole.model.dispose();
    expect(whole.info).toMatchObject({ dataset: name, classes: whole.dataset.info.classes });
    const half = await trainRun(training(), { out: at(`${name}-half`), ...stopping() });
    half.model.dispose();
    expect(half.result.finished).toBe(false);
    const resumed = await trainRun(training(), { out: at(`${name}-half`), resume: true });
    resumed.model.dispose();
    const file = (run: string): Buffer => readFileSync(at(`${name}-${run}`, 'model.safetensors'));
    expect(file('half').equals(file('dense'))).toBe(true);

    const pruning: PruneSettings = {
      ...tinyPruning(dense(), ''),
      data: undefined,
      importance: 'taylor',
      scoreBatches: 1,
      ...given(),
      recipe: { ...tinyRecipe, epochs: 2 },
    };
    const cut = await pruneRun(pruning, { out: at(`${name}-cut`) });
    cut.model.dispose();
    expect(cut.record.parameters.after).toBeLessThan(cut.record.parameters.before);
    const stopped = await pruneRun(pruning, { out: at(`${name}-cut-2`), ...stopping() });
    stopped.model.dispose();
    expect(stopped.finished).toBe(false);
    (await pruneRun(pruning, { out: at(`${name}-cut-2`), resume: true })).model.dispose();
    expect(outcomeOf(at(`${name}-cut-2`))).toEqual(outcomeOf(at(`${name}-cut`)));
  });

  it('is found by the commands, in the folder that the model remembers', async () => {
    const listed = await runCli(['data', 'list', '--json']);
    const { datasets } = JSON.parse(listed.stdout) as { datasets: { name: string }[] };
    expect(datasets.find((entry) => entry.name === name)).toMatchObject({
      source: data === undefined ? 'needs no folder' : '--data DIR',
    });
    const dir = data === undefined ? [] : ['--data', at(data)];
    const verified = await runCli(['data', 'verify', name, ...dir]);
    expect(verified).toMatchObject({ status: 0 });
    expect(verified.stdout).toContain(`${name} is whole`);
    const run = at(`${name}-cli`);
    const small = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--epochs', '1'];
    const trained = await runCli([
      'train',
      '--dataset',
      name,
      ...dir,
      ...small,
      '--preset',
      'fast',
      ...flags,
      '--out',
      run,
    ]);
    expect(trained).toMatchObject({ status: 0 });
    const evaluated = await runCli(['eval', run, '--json', ...flags]);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ dataset: name });
    const cut = at(`${name}-cli-cut`);
    const pruned = await runCli(['prune', run, '--rate', '0.5', ...flags, '--out', cut]);
    expect(pruned).toMatchObject({ status: 0 });
    expect(loadModel(join(cut, 'model.safetensors')).info.dataset).toBe(name);
  });

  it('is recorded with its module, which is named where it is not loaded', async () => {
    const run = RunFolder.open(at(`${name}-cli`));
    expect(run.config.dataset).toMatchObject({ name, module: modules[`${name}.mjs`] });
    // The same run as a process sees it that has not imported the module.
    const text = readFileSync(run.configPath, 'utf8');
    writeFileSync(run.configPath, text.replaceAll(`"${name}"`, '"gone"'));
    const file = run.modelPath;
    const bytes = readFileSync(file);
    const { model, info } = loadModel(file);
    saveModel(file, model, { ...info, dataset: 'gone' });
    model.dispose();
    const away = async (...argv: string[]) => {
      const { status, stderr } = await runCli([...argv, ...flags]);
      return { status, said: stderr.replaceAll(/\s+/g, ' ') };
    };
    const resumed = await away('train', '--resume', '--out', run.path);
    const evaluated = await away('eval', file);
    const tuned = await away('prune', file, '--rate', '0.5', '--epochs', '1', '--out', at('never'));
    const cut = await away('prune', file, '--rate', '0.5', '--out', at(`${name}-unseen`));
    const shown = await away(
      'report',
      run.path,
      '--images',
      '4',
      '--out',
      at(`${name}-report.html`),
    );
    writeFileSync(run.configPath, text);
    writeFileSync(file, bytes);
    const module = modules[`${name}.mjs`] ?? '';
    const told =
      `got data set "gone", expected one of: ${datasetNames().join(', ')}. It is registered by ` +
      `${module}: import that first, or load it with --plugin ${module}.`;
    expect(resumed.said).toContain(`resume: ${told}`);
    expect(evaluated.said).toContain(`${file}: ${told}`);
    expect(tuned.said).toContain(`${file}: ${told}`);
    expect([resumed, evaluated, tuned].map(({ status }) => status)).toEqual([2, 2, 2]);
    // These go on without the images, and say so.
    expect(cut.said).toContain(
      `The images that the model was trained on (gone) cannot be used here: ${file}: ${told}`,
    );
    expect(shown.said).toContain(`Images were left out: ${run.path}: ${told}`);
    expect([cut, shown].map(({ status }) => status)).toEqual([0, 0]);
  });
});

describe('images of any size', () => {
  const classes = ['dark', 'light'];
  const means: Record<string, number> = { sized: 0.5 };
  const seen: OpenDatasetOptions[] = [];
  beforeAll(() => {
    registerDataset({
      name: 'sized',
      description: 'shades',
      needsFolder: false,
      anySize: true,
      divisions: 'Morning and evening differ so',
      open: (options) => {
        seen.push(options);
        const { imageSize = 4, interpolation = 'bilinear', cropShare = 0.875 } = options;
        const bytes = imageSize ** 2;
        const shades = Uint8Array.from({ length: 16 * bytes }, (_, i) =>
          Math.floor(i / bytes) % 2 === 0 ? 40 : 200,
        );
        const part = new MemorySplit(
          shades,
          Uint8Array.from({ length: 16 }, (_, i) => i % 2),
          bytes,
        );
        const info = { classes, channels: 1, height: imageSize, width: imageSize } as const;
        const prepared = (preprocessing: Preprocessing): OpenedDataset => ({
          info: { ...info, mean: [means['sized'] ?? 0], std: [0.3], preprocessing },
          train: part,
          test: part,
          prepared,
        });
        return prepared({ interpolation, cropShare });
      },
    });
  });

  it('are made the size of the model, and another division of them is refused', async () => {
    const settings: TrainSettings = {
      arch: 'mamba_nano',
      dataset: 'sized',
      imageSize: 12,
      interpolation: 'bicubic',
      model: shape,
      recipe: tinyRecipe,
    };
    const { model, info } = await trainRun(settings, { out: at('sized') });
    expect(model.config.imageSize).toBe(12);
    model.dispose();
    expect(seen).toEqual([{ imageSize: 12, interpolation: 'bicubic' }]);
    expect(info.preprocessing).toEqual({ interpolation: 'bicubic', cropShare: 0.875 });
    expect((await runCli(['eval', at('sized'), ...flags])).status).toBe(0);
    expect(seen.at(-1)).toMatchObject({ imageSize: 12 });
    means['sized'] = 0.501;
    const { status, stderr } = await runCli(['eval', at('sized'), ...flags]);
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'Morning and evening differ so: give the folder of those that it was trained on (--data).',
    );
  });

  it('stand in the help of the commands', async () => {
    const { stdout } = await runCli(['train', '--help']);
    const help = stdout.replaceAll(/\s+/g, ' ');
    expect(help).toContain('imagenet, folder, bars, records, sized');
    expect(help).toContain('folder of the data set; fashion-mnist, bars and sized need none');
    expect(help).toContain('(default: 0.875; tiny-imagenet 1, or as that of --from)');
  });
});

describe("files of a format of one's own", () => {
  it('are refused with the words of who reads them', async () => {
    writeRecords(at('short'));
    truncateSync(at('short', 'test.rec'), 1000);
    await expect(openDataset('records', { dir: at('short') })).rejects.toThrow(
      `records: ${at('short', 'test.rec')} has 1000 bytes, expected records of 769. Copy it again.`,
    );
    await expect(openDataset('records')).rejects.toThrow('records: got no folder');
  });

  it('are no images of any size', async () => {
    const size = trainRun(
      {
        arch: 'mamba_nano',
        dataset: 'records',
        data: at('records'),
        imageSize: 32,
        model: shape,
        recipe: tinyRecipe,
      },
      { out: at('never') },
    );
    await expect(size).rejects.toThrow(
      '`imageSize`: got 32 px, but the images of records have 16 px. Leave `imageSize` out',
    );
  });
});

it('is learnt by the command that docs/data.md shows for bars', async () => {
  const page = readFileSync(new URL('../../../../docs/data.md', import.meta.url), 'utf8');
  const [, shown = ''] = /^ {4}mamba-prune (train --plugin bars\.mjs .*) --out /m.exec(page) ?? [];
  // Registered already: a module that is imported twice, under two names, registers its data set twice.
  const words = shown.replace('--plugin bars.mjs ', '').split(' ');
  expect(words).toContain('bars');
  const { status, stdout } = await runCli([...words, '--out', at('shown'), ...flags, '--json']);
  expect(status).toBe(0);
  const { valAccuracy } = JSON.parse(stdout) as { valAccuracy: number };
  // Half of the images would be right by chance.
  expect(valAccuracy).toBeGreaterThan(0.9);
});
