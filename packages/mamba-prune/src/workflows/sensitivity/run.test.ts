import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ops } from '@mamba-prune/libtorch';
import { openDataset } from '../../data/datasets.js';
import { loadModel, saveModel } from '../../models/model-file.js';
import { defaultCompensationTarget } from '../../pruning/compensation/choices.js';
import { pruneModel } from '../../pruning/surgery.js';
import { pruneRun } from '../prune/run.js';
import { tinyPruning, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';
import { readSensitivity } from './file.js';
import { type SensitivityControl, sensitivityRun } from './run.js';
import type { SensitivitySettings } from './settings.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-sensitivity-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const settings = (changes: Partial<SensitivitySettings> = {}): SensitivitySettings => ({
  model: at('dense', 'model.safetensors'),
  dataset: 'folder',
  data: at('images'),
  images: 20,
  rates: [0.5, 0.8],
  ...changes,
});

const greedy = { method: 'greedy', target: { metric: 'macs', amount: '0.5x' } } as const;

/** Ends the work after so many questions. */
const after = (most: number): Pick<SensitivityControl, 'isOver'> => {
  let asked = 0;
  return { isOver: () => ++asked > most };
};

describe('a measurement of sensitivity', () => {
  it('is of held-out training images and of every group at every rate', async () => {
    const seen: [number, number][] = [];
    const { file, finished } = await sensitivityRun(
      settings(),
      { out: at('whole.json') },
      { onPoint: (done, total) => seen.push([done, total]) },
    );
    expect(finished).toBe(true);
    expect(file.images).toEqual({
      dataset: 'folder',
      data: at('images'),
      split: 'train',
      count: 20,
    });
    expect(file).toMatchObject({ importance: 'taylor', kinds: ['ssm', 'mlp'], finished: true });
    expect(file.parts.map(({ name, points }) => [name, points.map(({ rate }) => rate)])).toEqual([
      ['blocks.0.ssm', [0.5, 0.8]],
      ['blocks.0.mlp', [0.5, 0.8]],
      ['blocks.1.ssm', [0.5, 0.8]],
      ['blocks.1.mlp', [0.5, 0.8]],
    ]);
    expect(seen.at(-1)).toEqual([8, 8]);
    expect(readSensitivity(at('whole.json'))).toEqual(file);
  });

  it('chooses units by what prune chooses them by in the same family', async () => {
    const { model } = await trainRun(
      { ...tinyTraining(at('images')), arch: 'resnet20', model: { baseWidth: 4, blocks: [1] } },
      { out: at('resnet') },
    );
    model.dispose();
    const given = settings({ model: at('resnet', 'model.safetensors'), rates: [0.5] });
    const out = at('resnet.json');
    const { file } = await sensitivityRun(given, { out });
    const { importance, ...rest } = tinyPruning(given.model, at('images'), {
      rates: { channels: 0.5 },
    });
    expect(importance).toBe('l2');
    const { record, model: cut } = await pruneRun(rest, { out: at('resnet-cut') });
    cut.dispose();
    expect(record).toMatchObject({ importance: 'obd', importanceReason: 'family' });
    expect(file).toMatchObject({ importance: record.importance, score: record.score });
  });

  it('keeps the importance that it began with', async () => {
    const out = at('kept.json');
    const begun = settings({ rates: [0.5], importance: 'l1' });
    await sensitivityRun(begun, { out, ...after(1) });
    const { importance, ...rest } = begun;
    const { file, finished } = await sensitivityRun(rest, { out, resume: true });
    expect(finished).toBe(true);
    expect(file.importance).toBe(importance);
  });

  it('goes on where its time was over, to the same file', async () => {
    await sensitivityRun(settings({ search: greedy }), { out: at('one-go.json') });
    const out = at('resumed.json');
    let resume = false;
    let stops = 0;
    for (let finished = false; !finished && stops < 30; stops++) {
      const control = { out, resume, ...after(3) };
      ({ finished } = await sensitivityRun(settings({ search: greedy }), control));
      resume = true;
    }
    // More than once in each of its parts.
    expect(stops).toBeGreaterThan(4);
    expect(readFileSync(out, 'utf8')).toBe(readFileSync(at('one-go.json'), 'utf8'));
  });

  it('goes on to the search that it was begun with, whenever it was stopped', async () => {
    await sensitivityRun(settings({ search: greedy }), { out: at('with-search.json') });
    const out = at('before-search.json');
    // Before there is anything to search from.
    await sensitivityRun(settings({ search: greedy }), { out, ...after(1) });
    const { search, ...begun } = readSensitivity(out);
    expect(begun.finished).toBe(false);
    expect(search).toMatchObject({ method: 'greedy', finished: false, evaluations: [] });
    const { metric, most: amount } = search?.budget ?? { metric: 'macs', most: 0 };
    const told = { method: 'greedy', target: { metric, amount } } as const;
    const { finished } = await sensitivityRun(settings({ search: told }), { out, resume: true });
    expect(finished).toBe(true);
    expect(readFileSync(out, 'utf8')).toBe(readFileSync(at('with-search.json'), 'utf8'));
  });

  it('refuses a budget of its search before it measures', async () => {
    const out = at('no-budget.json');
    const search = { ...greedy, target: { metric: 'macs', amount: 1e9 } } as const;
    await expect(sensitivityRun(settings({ search }), { out })).rejects.toThrow(
      'but the whole model has',
    );
    expect(existsSync(out)).toBe(false);
  });

  it('goes on after a signal', async () => {
    const out = at('stopped.json');
    const controller = new AbortController();
    const stopped = await sensitivityRun(
      settings(),
      { out, signal: controller.signal },
      {
        onPoint: (done) => {
          if (done === 3) controller.abort(new Error('stop'));
        },
      },
    );
    expect(stopped.finished).toBe(false);
    expect(readSensitivity(out).finished).toBe(false);
    await sensitivityRun(settings(), { out, resume: true });
    expect(readFileSync(out, 'utf8')).toBe(readFileSync(at('whole.json'), 'utf8'));
  });

  it('adds a search to what was measured, and begins another one anew', async () => {
    const out = at('search.json');
    await sensitivityRun(settings(), { out });
    const { parts } = readSensitivity(out);
    const first = await sensitivityRun(settings({ search: greedy }), { out, resume: true });
    expect(first.file.parts).toEqual(parts);
    expect(first.file.search?.budget.most).toBe(0.5 * first.file.dense.macs);
    const second = { method: 'greedy', target: { metric: 'units', amount: '0.6x' } } as const;
    const { file } = await sensitivityRun(settings({ search: second }), { out, resume: true });
    expect(file.search?.budget.metric).toBe('units');
    expect(file.parts).toEqual(parts);
  });

  it("can be of cuts that are compensated, or made by a way of one's own", async () => {
    const out = at('compensated.json');
    const compensate = { images: 24 };
    const { file } = await sensitivityRun(settings({ compensate }), { out });
    expect(file.compensate).toEqual({ target: defaultCompensationTarget, images: 24 });
    const plain = readSensitivity(at('whole.json'));
    expect(file.dense).toEqual(plain.dense);
    expect(file.parts).not.toEqual(plain.parts);
    await expect(sensitivityRun(settings(), { out, resume: true })).rejects.toThrow(
      `was begun with \`compensate\` {"images":24,"target":"${defaultCompensationTarget}"}, expected the same, got nothing`,
    );
    // Without batch normalisation there is nothing to measure again.
    const norms = await sensitivityRun(settings({ bnBatches: 1 }));
    expect(norms.file).toMatchObject({ bnBatches: 1, parts: plain.parts });
    const cuts: number[] = [];
    await sensitivityRun(settings({ rates: [0.5] }), {
      cut: (model, kept) => {
        cuts.push(kept.size);
        return pruneModel(model, kept);
      },
    });
    expect(cuts).toEqual([1, 1, 1, 1]);
  });

  it('can be of test images, of blocks, and of other kinds', async () => {
    const { file } = await sensitivityRun(
      settings({ split: 'test', images: 8, by: 'kind', kinds: ['state', 'ssm'], rates: [0.5] }),
    );
    expect(file.images).toMatchObject({ split: 'test', count: 8 });
    expect(file.parts.map(({ name, groups }) => [name, Object.keys(groups)])).toEqual([
      ['ssm', ['blocks.0.ssm', 'blocks.1.ssm']],
      ['state', ['blocks.0.state', 'blocks.1.state']],
    ]);
  });

  it('counts the images that there are, where more are asked for', async () => {
    const out = at('all-images.json');
    const { file } = await sensitivityRun(settings({ images: 1e6, rates: [0.5] }), { out });
    const { train } = await openDataset('folder', { dir: at('images') });
    expect(file.images.count).toBe(train.length);
    // And goes on with what was asked for as well as with what there was.
    for (const images of [1e6, train.length]) {
      await sensitivityRun(settings({ images, rates: [0.5] }), { out, resume: true });
    }
  });

  it('names the model whose loss is no number, and so does a pruning', async () => {
    const path = at('too-large.safetensors');
    const { model, info } = loadModel(at('dense', 'model.safetensors'));
    for (const weight of model.parameters()) ops.fill_(weight.detach(), 1e38);
    saveModel(path, model, info);
    model.dispose();
    const words = 'got a loss of NaN on the';
    await expect(sensitivityRun(settings({ model: path }))).rejects.toThrow(
      `sensitivity: ${path}: ${words} train images of folder`,
    );
    const pruning = pruneRun(tinyPruning(path, at('images')), { out: at('too-large') });
    await expect(pruning).rejects.toThrow(
      `prune: ${path}, before the cut: ${words} test images of folder`,
    );
  });

  it('is refused over a file that is there, with other settings, and of another model', async () => {
    const out = at('whole.json');
    await expect(sensitivityRun(settings(), { out })).rejects.toThrow(
      `sensitivity: ${out} exists, expected a new file. Go on with it (\`resume\`), replace it (\`overwrite\`)`,
    );
    const resumed = (changes: Partial<SensitivitySettings>) =>
      sensitivityRun(settings(changes), { out, resume: true });
    await expect(resumed({ rates: [0.5] })).rejects.toThrow(
      `${out} was begun with \`rates\` [0.5,0.8], expected the same, got [0.5]. Leave it out, or begin anew (\`overwrite\`).`,
    );
    await expect(resumed({ images: 10 })).rejects.toThrow('was begun with `images` 20');
    await expect(resumed({ importance: 'l1' })).rejects.toThrow('with `importance` "taylor"');
    const { model, info } = loadModel(at('dense', 'model.safetensors'));
    saveModel(at('other.safetensors'), model, { ...info, history: [{ step: 'other' }] });
    model.dispose();
    await expect(resumed({ model: at('other.safetensors') })).rejects.toThrow(
      `was measured on another file than ${at('other.safetensors')} is now`,
    );
    await expect(sensitivityRun(settings(), { out: at('curves') })).rejects.toThrow(
      `sensitivity: \`out\`: ${at('curves')} ends without a format, expected .json, which is what is written.`,
    );
    expect(existsSync(at('curves'))).toBe(false);
    await expect(sensitivityRun(settings(), { resume: true })).rejects.toThrow(
      'got resume without out',
    );
    await expect(
      sensitivityRun(settings({ search: { ...greedy, target: { metric: 'macs', amount: 1e9 } } })),
    ).rejects.toThrow('budget: macs: got 1000000000, but the whole model has');
  });
});

describe('a file of a measurement', () => {
  it('takes the place of an earlier one, and of nothing else', async () => {
    const out = at('replaced.json');
    const measure = () => sensitivityRun(settings({ rates: [0.5] }), { out, overwrite: true });
    // Such as the model itself, or the config.json of its run.
    for (const text of ['weights', '{"kind":"mamba-prune run"}']) {
      writeFileSync(out, text);
      await expect(measure()).rejects.toThrow(
        `sensitivity: ${out} exists and is no measurement, expected a new file or an earlier measurement. Give another name.`,
      );
      expect(readFileSync(out, 'utf8')).toBe(text);
    }
    writeFileSync(out, '{"kind":"mamba-prune sensitivity","format":0}');
    await measure();
    expect(readSensitivity(out).rates).toEqual([0.5]);
    // Stopped before its first point it takes the place of none.
    const before = readFileSync(out, 'utf8');
    const signal = AbortSignal.abort();
    await expect(sensitivityRun(settings(), { out, overwrite: true, signal })).rejects.toThrow();
    expect(readFileSync(out, 'utf8')).toBe(before);
  });

  it('is refused if it is none, or damaged, in a sentence that says what to do', () => {
    const read = (text: string) => () => {
      writeFileSync(at('bad.json'), text);
      return readSensitivity(at('bad.json'));
    };
    expect(() => readSensitivity(at('none.json'))).toThrow(
      `${at('none.json')} does not exist, expected the file of a measurement. Make it with: mamba-prune sensitivity`,
    );
    expect(() => readSensitivity(at('images'))).toThrow(
      `${at('images')} is a folder, expected the file of a measurement, such as ${at('images', 'sensitivity.json')}. Make one with`,
    );
    expect(read('{')).toThrow('bad.json is no measurement of sensitivity: ');
    expect(read('[1]')).toThrow('another program or command wrote it. Make one with');
    expect(read('{"kind":"mamba-prune scores"}')).toThrow('another program or command wrote it');
    const good = JSON.parse(readFileSync(at('whole.json'), 'utf8')) as {
      parts: { points: object[]; groups: Record<string, number> }[];
    };
    const changed = (change: (file: typeof good) => object) =>
      read(JSON.stringify(change(structuredClone(good))));
    expect(changed((file) => ({ ...file, format: 2 }))).toThrow('a newer version of mamba-prune');
    expect(changed((file) => ({ ...file, rates: [0.8, 0.5] }))).toThrow(
      'its rates do not increase',
    );
    expect(changed((file) => ({ ...file, parts: [] }))).toThrow('parts');
    expect(
      changed((file) => {
        file.parts[0]?.points.pop();
        return file;
      }),
    ).toThrow("'blocks.0.ssm' has 1 points for 2 rates");
    expect(changed((file) => ({ ...file, parts: [file.parts[0], file.parts[0]] }))).toThrow(
      "the group 'blocks.0.ssm' is in two parts",
    );
    expect(
      changed((file) => ({
        ...file,
        parts: file.parts.map((part) => ({ ...part, groups: { x: 1 } })),
      })),
    ).toThrow(/keeps \d+ of 1 units/);
  });

  it.each([
    ['loss', -0.1],
    ['accuracy', 1.2],
    ['accuracy', -0.1],
    ['parameters', -5],
    ['macs', -1],
  ])('is refused with the place where %s is %d', (figure, value) => {
    const good = JSON.parse(readFileSync(at('whole.json'), 'utf8')) as {
      dense: object;
      parts: { points: object[] }[];
    };
    const read = (file: object) => () => {
      writeFileSync(at('bad.json'), JSON.stringify(file));
      return readSensitivity(at('bad.json'));
    };
    expect(read({ ...good, dense: { ...good.dense, [figure]: value } })).toThrow(
      `→ at dense.${figure}`,
    );
    const [first] = good.parts[0]?.points ?? [];
    if (first) Object.assign(first, { [figure]: value });
    expect(read(good)).toThrow(`→ at parts[0].points[0].${figure}`);
  });
});
