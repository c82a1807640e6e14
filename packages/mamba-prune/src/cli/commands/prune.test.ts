// What `prune` tells: by what it cut, how far it came, and what is left.
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel, saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { pruneRun } from '../../workflows/prune/run.js';
import { type PruningRecord, readPruningRecord } from '../../workflows/prune/record.js';
import { tinyPruning, tinyTraining, writeTinyImages } from '../../workflows/testing/tiny.js';
import { trainRun } from '../../workflows/train-run.js';
import { budgetRemarks } from '../budget-table.js';
import { runCli } from '../testing/run-cli.js';
import { visible } from '../terminal/text.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
/** A model without its run. */
const alone = (): string => at('alone.safetensors');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-tells-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  // Without the folder that it remembers, as of one that was handed on.
  const stored = loadModel(at('dense', 'model.safetensors'));
  saveModel(alone(), stored.model, { ...stored.info, data: undefined });
  stored.model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

interface PruneJson {
  readonly importance: string;
  readonly importanceReason: string;
  readonly score: string;
  readonly reached: Record<string, number>;
  readonly heldBack: { kind: string; limit: string; groups: string[] }[];
  readonly leftAlone: string[];
  readonly accuracy: { before: number | null; afterCut: number | null };
  readonly measuredOn?: { dataset: string; images: number; of: number };
  readonly settings: { importance: string; dataset?: string; data?: string };
  readonly warnings: string[];
  readonly next: string | null;
}

let runs = 0;

async function prune(...argv: string[]): Promise<{ out: string; stdout: string; stderr: string }> {
  const out = at(`run-${++runs}`);
  const { status, stdout, stderr } = await runCli(['prune', ...argv, '--out', out]);
  expect(status, stderr).toBe(0);
  const tooLong = stdout.split('\n').filter((line) => visible(line) > 80);
  // A command is there to be copied, and JSON for machines.
  const forPeople = argv.includes('--json') ? [] : tooLong;
  expect(forPeople.filter((line) => !/^ {6}--(from|data|out) /.test(line))).toEqual([]);
  return { out, stdout, stderr };
}

async function json(...argv: string[]): Promise<PruneJson> {
  const { stdout } = await prune(...argv, '--json');
  return JSON.parse(stdout) as PruneJson;
}

/** One line, whatever the width broke. */
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('prune with images', () => {
  it('finds those that the run recorded, measures on them and chooses by them', async () => {
    const { stdout, stderr, out } = await prune(at('dense'), '--rate', '0.5');
    expect(stdout).toMatch(
      /accuracy after the cut +\d+\.\d\d% +\d+\.\d\d% +(?:[+-]\d+\.\d\d|0\.00) points/,
    );
    expect(stdout).toContain('Accuracies are those on the 16 test images of folder.');
    expect(stdout).toContain('Chosen by taylor of consumer, the default with images.');
    expect(stdout).toMatch(/units +before +after +asked to go +gone\n/);
    expect(stdout).toMatch(/ssm +32 +16 +50\.0% +50\.0%\n/);
    expect(stdout).toMatch(/mlp +64 +32 +50\.0% +50\.0%\n/);
    expect(stderr).toMatch(/accuracy \d+\.\d\d% -> \d+\.\d\d%/);
    const { settings } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as {
      settings: PruneJson['settings'];
    };
    expect(settings).toMatchObject({
      importance: 'taylor',
      importanceReason: 'images',
      dataset: 'folder',
      data: at('images'),
    });
    expect(readPruningRecord(out)).toMatchObject({
      importance: 'taylor',
      importanceReason: 'images',
      heldBack: [],
      leftAlone: [],
      reached: { ssm: 0.5, mlp: 0.5 },
      measuredOn: { dataset: 'folder', images: 16, of: 16 },
      rounds: [{ reached: { ssm: 0.5, mlp: 0.5 } }],
    });
  });

  it('finds them for a checkpoint of the run too, and takes --data for a model without one', async () => {
    const own = await json(at('dense', 'checkpoints', 'init.safetensors'), '--rate', '0.5');
    expect(own.measuredOn).toEqual({ dataset: 'folder', images: 16, of: 16 });
    const given = await json(alone(), '--data', at('images'), '--rate', '0.5');
    expect(given).toMatchObject({ importance: 'taylor', settings: { dataset: 'folder' } });
  });

  it('measures on as many as are asked for, and says so', async () => {
    const { stdout } = await prune(at('dense'), '--rate', '0.5', '--test-images', '6');
    expect(stdout).toContain('Accuracies are those on 6 of the 16 test images of folder.');
  });

  it('says which command trains what is left, and the command does', async () => {
    const { next } = await json(at('dense'), '--rate', '0.5');
    expect(next).toMatch(/^npx mamba-prune train --from \S+ --dataset folder --data \S+/);
    const words = (next ?? '').split(' ').slice(2);
    const { status, stderr } = await runCli([...words, '--epochs', '1', '--batch-size', '8']);
    expect(status, stderr).toBe(0);
    const trained = join(words[words.indexOf('--out') + 1] ?? '', 'model.safetensors');
    const { model } = loadModel(trained);
    expect(model.config.widths).toMatchObject({ 'blocks.0.ssm': expect.any(Number) as number });
    const sum =
      (model.config.widths['blocks.0.ssm'] ?? 0) + (model.config.widths['blocks.1.ssm'] ?? 0);
    expect(sum).toBe(16);
    const { stdout } = await prune(at('dense'), '--rate', '0.5');
    expect(flat(stdout)).toContain('A cut model is trained on before it is used');
    // Over several lines, which a shell takes as they are.
    expect(stdout).toMatch(/\n {2}npx mamba-prune train \S.*\\\n {6}--/);
  });

  it('says nothing of a training to come where there was one', async () => {
    const argv = [at('dense'), '--rate', '0.5', '--epochs', '1', '--batch-size', '8'];
    const { stdout } = await prune(...argv, '--augment', 'none');
    expect(stdout).not.toContain('Next');
    expect(stdout).toMatch(/accuracy after training +/);
  });

  it('keeps an importance that is typed', async () => {
    const typed = await json(at('dense'), '--rate', '0.5', '--importance', 'l2');
    expect(typed).toMatchObject({ importance: 'l2', importanceReason: 'given' });
    const { stdout } = await prune(at('dense'), '--rate', '0.5', '--importance', 'l2');
    expect(stdout).toContain('Chosen by l2 of consumer, as asked for.');
    const activation = await json(at('dense'), '--rate', '0.5', '--score', 'activation');
    expect(activation).toMatchObject({ importance: 'l1', importanceReason: 'score' });
  });

  it('takes --score-batches for the importance that is the default', async () => {
    const { stdout } = await prune(at('dense'), '--rate', '0.5', '--score-batches', '1');
    expect(stdout).toContain('taylor of consumer');
    const refused = await runCli(['prune', alone(), '--score-batches', '1', '--out', at('never')]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('got --score-batches, which belongs to --importance taylor');
  });

  it('names the norm of RSST where the cut goes by that', async () => {
    const argv = [at('dense'), '--method', 'rsst', '--rate', '0.5', '--reg-epochs', '1'];
    const { stdout } = await prune(...argv, '--batch-size', '8', '--augment', 'none');
    expect(stdout).toContain('Chosen by the norm that RSST regularised.');
  });
});

describe('prune without images', () => {
  it('writes widths of a thousand and more alike in every table', async () => {
    const stored = loadModel(alone());
    const { imageSize, channels, numClasses } = stored.model.config;
    const sizes = { dModel: 512, depth: 1, dState: 3, imageSize, channels, numClasses };
    const wide = createModel('mamba_nano', sizes);
    saveModel(at('wide.safetensors'), wide, { ...stored.info, data: undefined });
    stored.model.dispose();
    wide.dispose();
    const { stdout } = await prune(at('wide.safetensors'), '--rate', '0.5', '--ranking', 'layer');
    expect(stdout).toMatch(/ssm +1,024 +512 +50\.0% +50\.0%/);
    expect(stdout).toMatch(/blocks\.0\.ssm +1,024 +512 +50\.0%/);
  });

  it('says that it cannot know the accuracy, and how to give them', async () => {
    const { stdout, stderr } = await prune(alone(), '--rate', '0.5');
    expect(stdout).not.toMatch(/accuracy after the cut/);
    expect(flat(stdout)).toContain(
      'How accurate the model is now is not known, for there were no images to measure it on; it was trained on folder.',
    );
    expect(flat(stdout)).toContain('Give them with --dataset and --data');
    expect(stdout).toContain('Chosen by l1 of consumer, the default without images.');
    expect(stderr).not.toContain('cannot be used here');
    // What is not known is left to be filled in.
    expect(flat(stdout).replaceAll(' \\ ', ' ')).toMatch(
      /--dataset folder --data DIR --image-size 8 /,
    );
  });

  it('says it in JSON, too', async () => {
    const result = await json(alone(), '--rate', '0.5');
    expect(result).toMatchObject({
      importance: 'l1',
      importanceReason: 'no images',
      accuracy: { before: null, afterCut: null },
    });
    expect(result.measuredOn).toBeUndefined();
    expect(result.next).toContain('--data DIR');
  });

  it('goes on without images that are gone, and without others in their place', async () => {
    renameSync(at('images'), at('away'));
    try {
      const { stderr, stdout } = await prune(at('dense'), '--rate', '0.5');
      expect(flat(stderr)).toContain(
        'The images that the model was trained on (folder) cannot be used here',
      );
      expect(stderr).toContain(at('images'));
      expect(stdout).toContain('the default without images');
      cpSync(at('away'), at('images'), { recursive: true });
      for (const part of ['train', 'test']) {
        renameSync(at('images', part, 'left'), at('images', part, 'top'));
      }
      const other = await prune(at('dense'), '--rate', '0.5');
      expect(other.stdout).toContain('the default without images');
      expect(flat(other.stderr)).toContain("got class 0 'right'");
    } finally {
      rmSync(at('images'), { recursive: true, force: true });
      renameSync(at('away'), at('images'));
    }
  });

  it('is no way out where images were asked for', async () => {
    for (const flags of [
      ['--importance', 'taylor'],
      ['--epochs', '1'],
      ['--bn-batches', '1'],
    ]) {
      const out = at('never');
      const { status, stderr } = await runCli(['prune', alone(), ...flags, '--out', out]);
      expect(status, flags.join(' ')).toBeGreaterThan(0);
      expect(stderr).toContain('folder');
      expect(existsSync(out)).toBe(false);
    }
  });

  it('refuses --data for a model that does not say what it was trained on', async () => {
    const { model, info } = loadModel(alone());
    const { classes, mean, std, history } = info;
    saveModel(at('silent.safetensors'), model, { classes, mean, std, history });
    model.dispose();
    const argv = ['prune', at('silent.safetensors'), '--data', at('images'), '--out', at('never')];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stderr).toContain('got --data, but the model does not say what it was trained on');
    const { stdout } = await prune(at('silent.safetensors'), '--rate', '0.5');
    expect(flat(stdout).replaceAll(' \\ ', ' ')).toContain('--dataset NAME --data DIR');
    expect(flat(stdout)).not.toContain('it was trained on');
  });
});

describe('the rate that prune reaches', () => {
  it('is told beside the one asked for, with what held it back', async () => {
    const argv = [at('dense'), '--rate', '0.9', '--max-rate', '0.1'];
    const { stdout } = await prune(...argv);
    // 1 of 16 and 3 of 32 in each of two blocks.
    expect(stdout).toMatch(/ssm +32 +30 +90\.0% +6\.3%\n/);
    expect(stdout).toMatch(/mlp +64 +58 +90\.0% +9\.4%\n/);
    expect(flat(stdout)).toContain(
      'ssm: --max-rate 0.1 held the rate back: 6.3% of the units are gone, not 90.0%. Raise it, or lower the rate.',
    );
    const result = await json(...argv);
    expect(result.reached).toEqual({ ssm: 1 - 30 / 32, mlp: 1 - 58 / 64 });
    expect(result.heldBack.map(({ kind, limit }) => [kind, limit])).toEqual([
      ['ssm', 'max-rate'],
      ['mlp', 'max-rate'],
    ]);
  });

  it('tells of rounded widths, of the last unit and of kinds that were left alone', async () => {
    const byLayer = [at('dense'), '--ranking', 'layer', '--target', 'ssm'];
    const rounded = await prune(...byLayer, '--rate', '0.7', '--round-to', '8');
    expect(flat(rounded.stdout)).toContain(
      'ssm: --round-to 8 rounded widths up: 50.0% of the units are gone, not 70.0%.',
    );
    expect(flat(rounded.stdout)).toContain(
      'Only ssm was to be cut (--target): mlp keeps all units.',
    );
    const last = await prune(...byLayer, '--rate', '0.99');
    expect(flat(last.stdout)).toContain(
      'ssm: every group keeps one unit at least, which held the rate back: 93.8% of the units are gone, not 99.0%.',
    );
    const refilled = await prune(
      ...byLayer,
      '--rate',
      '0.5',
      '--method',
      'refill',
      '--fillback',
      '0.5',
    );
    expect(flat(refilled.stdout)).toContain(
      'ssm: units came back on top of the rate (refill): 25.0% of the units are gone, not 50.0%.',
    );
  });
});

describe('what prune warns of', () => {
  it('is named by group, with what leaves more', async () => {
    const { stderr } = await prune(at('dense'), '--rate', '0.94', '--target', 'ssm');
    // 2 of 32 channels stay, one in each block.
    expect(flat(stderr)).toContain(
      'Next to nothing is left of blocks.0.ssm (1 of 16 channels), blocks.1.ssm (1 of 16 channels)',
    );
    expect(flat(stderr)).toMatch(/More stays with --max-rate 0\.88, or a lower rate\./);
    const wider = await prune(
      at('dense'),
      '--rate',
      '0.94',
      '--target',
      'ssm',
      '--max-rate',
      '0.88',
    );
    expect(wider.stderr).not.toContain('Next to nothing');
    const { warnings } = await json(at('dense'), '--rate', '0.97', '--target', 'mlp');
    expect(warnings.join()).toContain('of 32 neurons)');
  });

  it('advises a lower rate where every group loses the same', async () => {
    const argv = [at('dense'), '--rate', '0.96', '--target', 'mlp', '--ranking', 'layer'];
    const { stderr } = await prune(...argv);
    expect(flat(stderr)).toContain('More stays with a lower rate.');
  });

  it('is that nothing was removed, and why', async () => {
    const none = await prune(at('dense'), '--rate', '0.01', '--target', 'ssm');
    expect(flat(none.stderr)).toContain(
      'Nothing was removed: the rates come to less than one unit. Raise --rate.',
    );
    expect(none.stdout).not.toContain('Next');
    const zero = await prune(at('dense'), '--rate', '0');
    expect(flat(zero.stderr)).toContain('Nothing was removed: the rates are 0.');
    const limit = await prune(at('dense'), '--rate', '0.5', '--max-rate', '0.01');
    expect(flat(limit.stderr)).toContain(
      'Nothing was removed: the limits named held all units back.',
    );
    const least = await prune(at('dense'), '--rate', '0.99', '--ranking', 'layer');
    const again = await prune(least.out, '--rate', '0.7');
    expect(flat(again.stderr)).toContain(
      'Nothing was removed: every group of ssm and mlp has one unit already, the least that there can be.',
    );
  });
});

describe('a run that is gone on with', () => {
  it('keeps the importance that it began with, whatever the default is now', async () => {
    // As a run of before there was a choice: an importance without a reason.
    const controller = new AbortController();
    const out = at('older');
    const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'), {
      importance: 'l1',
      rounds: 2,
    });
    const hooks = {
      onCut: () => {
        controller.abort();
      },
    };
    const stopped = await pruneRun(settings, { out, signal: controller.signal }, hooks);
    expect(stopped.finished).toBe(false);
    stopped.model.dispose();
    const { status, stdout, stderr } = await runCli(['prune', '--resume', '--out', out, '--json']);
    expect(status, stderr).toBe(0);
    expect((JSON.parse(stdout) as PruneJson).importance).toBe('l1');
    // Called again with nothing said of it, as a program does.
    const open = { ...settings, importance: undefined };
    const again = await pruneRun(open, { out, resume: true });
    expect(again.record.importance).toBe('l1');
    again.model.dispose();
  });
});

describe('prune to a budget', () => {
  it('shows what was asked for and reached, and the rates that came of it', async () => {
    const { stdout, stderr, out } = await prune(
      at('dense'),
      '--target-params',
      '0.6x',
      '--exclude',
      'blocks.0.ssm',
      '--min-width',
      '10%',
    );
    expect(stdout).toMatch(/budget +before +asked +reached +below it\n/);
    expect(stdout).toMatch(/parameters +[\d.]+ K +0\.6x = [\d.]+ K +[\d.]+ K +\d\.\d\d%\n/);
    expect(stdout).toMatch(/units +before +after +solved to go +gone\n/);
    expect(stdout).toMatch(/blocks\.0\.ssm +16 +16 +100\.0%/);
    expect(stderr).toMatch(/cut to [\d.]+ K parameters at ssm \d+\.\d%, mlp \d+\.\d%/);
    const record = readPruningRecord(out);
    expect(record?.rateOf).toEqual({ 'blocks.0.ssm': 0 });
    expect(record?.minWidth).toBe('10%');
    expect(record?.costBudget?.[0]?.reached).toBe(record?.parameters.after);
  });

  it('keeps to what the run began with where it is gone on with, and refuses a rate', async () => {
    const { out } = await prune(at('dense'), '--target-macs', '0.6x', '--rounds', '2');
    const resume = ['prune', '--resume', '--out', out];
    expect((await runCli(resume)).status).toBe(0);
    const { status, stderr } = await runCli([...resume, '--rate', '0.5']);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain('got --rate, which decides how much is cut, as --target-macs');
  });

  it('refuses what changes nothing where it is gone on with too', async () => {
    const { out } = await prune(at('dense'), '--rate', '0.5', '--epochs', '1');
    for (const command of [
      ['train', '--resume', '--out', at('dense')],
      ['prune', '--resume', '--out', out],
    ]) {
      const momentum = await runCli([...command, '--momentum', '0.5']);
      expect(flat(momentum.stderr)).toContain(
        'got --momentum, which belongs to --optimizer sgd, not adamw. Leave it out.',
      );
      const preset = await runCli([...command, '--preset', 'best']);
      expect(flat(preset.stderr)).toContain(
        'got --preset best with --resume: the run keeps the recipe that it began with. Leave it out.',
      );
      expect([momentum.status, preset.status]).toEqual([2, 2]);
      expect((await runCli(command)).status).toBe(0);
    }
  });

  it('refuses a budget out of reach before it writes anything', async () => {
    const out = at('out-of-reach');
    const { status, stderr } = await runCli([
      'prune',
      at('dense'),
      '--target-params',
      '100',
      '--out',
      out,
    ]);
    expect(status).toBe(2);
    expect(flat(stderr)).toContain('the least that these groups can be cut to is');
    expect(existsSync(out)).toBe(false);
    // What is in the way is named as it was given.
    const excluding = ['prune', at('dense'), '--target-params', '100', '--exclude', '*.0.*'];
    const refused = await runCli([...excluding, '--out', out]);
    expect(refused.status).toBe(2);
    expect(flat(refused.stderr)).toContain('(--exclude, or a rate of 0 in --rate-of)');
  });

  it('is told of by one sentence for the noise of a latency', () => {
    const entry = { of: 'latency', asked: 2, limit: 2, before: 5, reached: 1.9 } as const;
    const table = { batch: 4, device: 'cpu', precision: 'fp32' } as NonNullable<
      PruningRecord['latencyTable']
    >;
    const remarks = (measured: number, spread: number) =>
      budgetRemarks({
        costBudget: [{ ...entry, measured, spread }],
        latencyTable: table,
        plannedRounds: 1,
        rounds: [],
      }).join(' ');
    expect(remarks(1.95, 0.01)).toMatch(
      /^The latency was measured .* 1.95 ms, .* predicted 1.90 ms.$/,
    );
    expect(remarks(2.1, 0.01)).toContain('It is above the budget');
    expect(remarks(1.95, 0.3)).toContain('These times differed by 30% from round to round');
  });
});
