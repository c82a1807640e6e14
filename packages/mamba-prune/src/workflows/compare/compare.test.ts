import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildPage } from '../../../../report/src/testing/build-page.js';
import { FileLock } from '../../files/lock.js';
import { readPruningRecord } from '../prune/record.js';
import { StoppedAtStartError } from '../../training/errors.js';
import { collectRuns } from './collect.js';
import { type CompareControl, type CompareHooks, type CompareRequest, compare } from './compare.js';
import { perform } from './perform.js';
import type { CompareResults } from './results.js';
import { writeTinyImages } from '../testing/tiny.js';
import { inProcess, smallRequest } from './testing/small-comparison.js';

let folder: string;
/** A comparison that is done. */
let whole: string;
let request: CompareRequest;
let seen: string[];

const names = [0, 1].flatMap((seed) =>
  ['base', 'dense', 'oneshot-50', 'refill-50', 'rsst-50'].map((name) => `seed-${seed}/${name}`),
);

function run(out: string, control: Partial<CompareControl> = {}, hooks: CompareHooks = {}) {
  return compare(request, { out, jobs: 1, start: inProcess(seen), ...control }, hooks);
}

const resultsOf = (out: string): CompareResults =>
  JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as CompareResults;

beforeAll(async () => {
  // What draws the picture is in its bundle.
  buildPage();
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-'));
  const images = join(folder, 'images');
  await writeTinyImages(images);
  request = smallRequest(images);
  seen = [];
  whole = join(folder, 'whole');
  const { finished } = await run(whole, {
    args: ['compare', '--data', 'my images', '--out', 'whole'],
  });
  expect(finished).toBe(true);
});

beforeEach(() => {
  seen = [];
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('compare', () => {
  it('gives every method of a rate the same size and leaves the dense model whole', () => {
    const { methods, done, planned } = resultsOf(whole);
    expect([done, planned]).toEqual([8, 8]);
    expect(methods.map(({ method, rate }) => [method, rate])).toEqual([
      ['dense', 0],
      ['oneshot', 0.5],
      ['refill', 0.5],
      ['rsst', 0.5],
    ]);
    const [dense, oneshot, refill, rsst] = methods;
    expect(new Set([oneshot, refill, rsst].map((m) => `${m?.parameters} ${m?.macs}`)).size).toBe(1);
    expect(oneshot?.macs).toBeLessThan(dense?.macs ?? 0);
    // Nothing is cut from the dense model, so nothing is lost.
    expect(dense?.afterCut).toBe(dense?.beforeCut);
  });

  it('says of every method what its runs say, and pairs Refill with RSST by seed', () => {
    const { methods, runs, tests } = resultsOf(whole);
    for (const { run: name, accuracy: after, beforeCut: before, afterCut, macs } of runs) {
      const record = readPruningRecord(join(whole, name));
      // Of the only round: just before the cut, which for RSST is after its regularised training.
      expect(record?.rounds.map((round) => round.accuracy)).toEqual([{ before, afterCut, after }]);
      expect(record?.macs.after).toBe(macs);
    }
    const of = (method: string): number[] =>
      runs.filter((r) => r.method === method).map(({ accuracy }) => accuracy);
    for (const { method, accuracy } of methods) {
      const [a = 0, b = 0] = of(method);
      expect(accuracy).toBe((a + b) / 2);
    }
    const [[a0 = 0, a1 = 0], [b0 = 0, b1 = 0]] = [of('refill'), of('rsst')];
    expect(tests).toHaveLength(1);
    expect(tests[0]).toMatchObject({ methods: ['refill', 'rsst'], rate: 0.5, pairs: 2 });
    expect(tests[0]?.difference).toBeCloseTo((a0 - b0 + a1 - b1) / 2, 12);
  });

  it('writes a table, a picture and the command that made them', () => {
    const table = readFileSync(join(whole, 'results.md'), 'utf8');
    expect(table).toContain("    npx mamba-prune compare --data 'my images' --out whole\n");
    expect(table).toMatch(/^\| Refill \| 50% \| \d+\.\d\d% ± \d+\.\d\d \|/m);
    expect(table).toContain('## Refill against RSST');
    expect(readFileSync(join(whole, 'accuracy-macs.svg'), 'utf8')).toContain('50% removed');
    expect(readFileSync(join(whole, 'accuracy-macs.png')).subarray(1, 4).toString()).toBe('PNG');
  });

  it('cuts every method to a budget, with the tolerance of a pruning run, and names it', async () => {
    const out = join(folder, 'budget');
    const asked = { ...request, budget: 'macs', rates: [0.3], seeds: [0] } as const;
    const { finished } = await compare(asked, { out, start: inProcess() });
    expect(finished).toBe(true);
    const { methods, runs } = resultsOf(out);
    expect(runs.map(({ run: name }) => name)).toContain('seed-0/rsst-macs-0.7x');
    const whole = methods[0]?.macs ?? NaN;
    for (const { macs } of methods.slice(1)) {
      expect(macs).toBeLessThanOrEqual(0.7 * whole);
      expect(macs).toBeGreaterThan(0.6 * whole);
    }
    const table = readFileSync(join(out, 'results.md'), 'utf8');
    expect(table).toMatch(/^\| Refill \| 30% of the MACs \|/m);
    expect(table).toContain('Removed: 30% of the MACs (from ssm and mlp).');
    expect(readFileSync(join(out, 'accuracy-macs.svg'), 'utf8')).toContain(
      'Rates are shares of the MACs.',
    );
    // Others bring their part of the same comparison, and none of another kind of size.
    const gathered = join(folder, 'budget-gathered');
    const { finished: isWhole } = await collectRuns({ out: gathered, from: [out] });
    expect(isWhole).toBe(true);
    await expect(
      collectRuns({ out: gathered, from: [out, join(folder, 'whole')] }),
    ).rejects.toThrow(
      /holds a comparison with other settings .*rates: got sizes by it, expected sizes by `budget\.macs`/,
    );
  });

  it('does nothing again that is done, also where the folder was moved', async () => {
    const moved = join(folder, 'moved');
    cpSync(whole, moved, { recursive: true });
    for (const out of [whole, moved]) {
      const before = readFileSync(join(out, 'results.json'));
      expect((await run(out)).finished).toBe(true);
      expect(seen).toEqual([]);
      expect(readFileSync(join(out, 'results.json')).equals(before)).toBe(true);
    }
  });

  it('goes on where it was stopped, and ends with the same results', async () => {
    const out = join(folder, 'parts');
    for (const stopIn of ['seed-0/base', 'seed-0/rsst-50', 'seed-1/refill-50']) {
      const stop = new AbortController();
      const start = inProcess(seen);
      const { finished } = await run(out, {
        signal: stop.signal,
        start: (order, listeners) =>
          start(order, {
            ...listeners,
            onProgress: (epochs) => {
              if (order.run.name === stopIn && epochs > 0.3) stop.abort();
            },
          }),
      });
      expect(finished).toBe(false);
      expect(seen.at(-1)).toBe(stopIn);
    }
    expect((await run(out)).finished).toBe(true);
    // Those that were stopped began twice.
    expect(seen.length).toBe(names.length + 3);
    const comparable = ({ methods, tests, runs }: CompareResults): unknown => ({
      methods,
      tests,
      runs,
    });
    expect(comparable(resultsOf(out))).toEqual(comparable(resultsOf(whole)));
  });

  it('adds seeds and rates to what is there, and takes none away', async () => {
    const out = join(folder, 'grows');
    const small = { ...request, seeds: [0], rates: [0.5] };
    await compare(small, { out, jobs: 1, start: inProcess(seen) });
    expect(resultsOf(out).tests[0]).toMatchObject({ pairs: 1, p: null });
    seen.length = 0;
    const plans: number[] = [];
    await compare(
      { ...small, rates: [0.5, 0.25] },
      { out, jobs: 1, start: inProcess(seen) },
      { onPlan: ({ finished }) => plans.push(finished) },
    );
    expect(plans).toEqual([5]);
    expect(seen).toEqual(['seed-0/oneshot-25', 'seed-0/refill-25', 'seed-0/rsst-25']);
    await expect(compare(small, { out, jobs: 1 })).rejects.toThrow(
      /holds rate 0\.25 too\. Comparisons grow, but do not shrink/,
    );
  });

  it('refuses other settings by name, and begins anew with overwrite', async () => {
    const out = join(folder, 'other');
    const one = { ...request, seeds: [0] };
    await compare(one, { out, jobs: 1, start: inProcess(seen) });
    const changed = { ...one, finetune: { ...one.finetune, lr: 5e-3 } };
    await expect(compare(changed, { out, jobs: 1 })).rejects.toThrow(
      /holds a comparison with other settings: finetune\.lr: got 0\.005, expected 0\.001\. .*`overwrite`/,
    );
    seen.length = 0;
    await compare(changed, { out, jobs: 1, start: inProcess(seen), overwrite: true });
    expect(seen).toHaveLength(5);
  });

  it('leaves a comparison as it was where the first run of the one in its place fails', async () => {
    const out = join(folder, 'kept');
    const one = { ...request, seeds: [0] };
    await compare(one, { out, jobs: 1, start: inProcess(seen) });
    const names = readdirSync(out).sort();
    const results = readFileSync(join(out, 'results.json'), 'utf8');
    const changed = { ...one, finetune: { ...one.finetune, lr: 5e-3 } };
    const start = () => ({ ended: Promise.reject(new Error('no images')), stop: () => undefined });
    await expect(compare(changed, { out, jobs: 1, start, overwrite: true })).rejects.toThrow(
      'no images',
    );
    expect(readdirSync(out).sort()).toEqual(names);
    expect(readFileSync(join(out, 'results.json'), 'utf8')).toBe(results);
    await compare(changed, { out, jobs: 1, start: inProcess(seen), overwrite: true });
    expect(readdirSync(out).sort()).toEqual(names);
  });

  it('leaves a comparison as it was where the one in its place is stopped before its first step', async () => {
    const out = join(folder, 'stopped-in-place');
    const one = { ...request, seeds: [0], methods: ['oneshot'] as const };
    await compare(one, { out, jobs: 1, start: inProcess(seen) });
    const files = () => readdirSync(out, { recursive: true, encoding: 'utf8' }).sort();
    const [names, results] = [files(), readFileSync(join(out, 'results.json'), 'utf8')];
    const stop = new AbortController();
    // As a child process that has made its folder, and no step.
    const start: CompareControl['start'] = (order) => {
      stop.abort();
      return { ended: perform(order, { signal: stop.signal }), stop: () => undefined };
    };
    const changed = { ...one, finetune: { ...one.finetune, lr: 5e-3 } };
    await expect(
      compare(changed, { out, jobs: 1, start, overwrite: true, signal: stop.signal }),
    ).rejects.toThrow(StoppedAtStartError);
    expect(files()).toEqual(names);
    expect(readFileSync(join(out, 'results.json'), 'utf8')).toBe(results);
  });

  it('takes the default importance where none is given, and goes on with the one that it began with', async () => {
    const { ranking, normalize, roundTo, maxRate } = request.cut;
    const cut = { ranking, normalize, roundTo, maxRate };
    const one = { ...request, seeds: [0], cut };
    const open = (out: string, changes: Partial<CompareRequest> = {}) =>
      compare({ ...one, ...changes }, { out, jobs: 1, start: inProcess(seen) });
    const out = join(folder, 'open');
    const { settings } = await open(out);
    expect(settings.cut).toEqual({ ...cut, importance: 'taylor', importanceReason: 'images' });
    expect(readPruningRecord(join(out, 'seed-0', 'oneshot-50'))).toMatchObject({
      importance: 'taylor',
      importanceReason: 'images',
    });
    seen = [];
    await open(out);
    await open(out, { cut: { ...cut, importance: 'taylor' } });
    expect(seen).toEqual([]);
    // One that began before there was a default has l1, and nothing of it is done again.
    const older = join(folder, 'older');
    cpSync(whole, older, { recursive: true });
    const again = await open(older, { seeds: [0, 1] });
    expect(again.settings.cut).toEqual(request.cut);
    expect(seen).toEqual([]);
    const refused = open(older, { seeds: [0, 1], cut: { ...cut, importance: 'taylor' } });
    await expect(refused).rejects.toThrow(/holds a comparison with other settings: cut/);
  });

  it('goes on with one that an earlier version began, whose names were others', async () => {
    const out = join(folder, 'earlier');
    cpSync(whole, out, { recursive: true });
    const files = [...names, ''].map((name) =>
      join(out, name, name === '' ? 'compare.json' : 'config.json'),
    );
    let changes = 0;
    for (const file of files) {
      const text = readFileSync(file, 'utf8');
      const before = text
        .replaceAll('"ranking": "layer"', '"ranking": "layerwise"')
        .replaceAll('"units": "doomed"', '"scope": "doomed"');
      if (before !== text) changes++;
      writeFileSync(file, before);
    }
    // Two seeds of dense, oneshot, refill and rsst, and the comparison's own.
    expect(changes).toBe(9);
    const { settings, finished } = await run(out);
    expect([finished, seen]).toEqual([true, []]);
    expect(settings).toMatchObject({ cut: { ranking: 'layer' }, rsst: { units: 'doomed' } });
  });

  it('tells how far it is, from 0 to all epochs', async () => {
    const out = join(folder, 'progress');
    const progress: number[] = [];
    await compare(
      { ...request, seeds: [0] },
      { out, jobs: 1, start: inProcess(seen) },
      {
        onProgress: (done, total) => {
          expect(total).toBe(1 + 4 * 3);
          progress.push(done);
        },
      },
    );
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(13);
  });
});

describe('a comparison that is damaged', () => {
  it('says which run is, and how to do it again', async () => {
    const out = join(folder, 'damaged');
    await compare({ ...request, seeds: [0] }, { out, jobs: 1, start: inProcess(seen) });
    const again = () =>
      compare({ ...request, seeds: [0] }, { out, jobs: 1, start: inProcess(seen) });

    writeFileSync(join(out, 'seed-0/refill-50/config.json'), '{"kind');
    await expect(again()).rejects.toThrow(
      /refill-50 is damaged: it has a config\.json, but no config\.json that can be read\. Delete the folder/,
    );
    rmSync(join(out, 'seed-0/refill-50'), { recursive: true });

    const base = join(out, 'seed-0/base/model.safetensors');
    writeFileSync(base, readFileSync(base).subarray(0, 500));
    await expect(again()).rejects.toThrow(
      /the run seed-0\/refill-50 failed: .*seed-0\/base\/model\.safetensors/,
    );

    // A new base makes what was pruned from the old one worthless.
    rmSync(join(out, 'seed-0/base'), { recursive: true });
    seen.length = 0;
    expect((await again()).finished).toBe(true);
    expect(seen).toHaveLength(5);

    writeFileSync(join(out, 'seed-0/rsst-50/pruning.json'), '{"kind": 1}');
    await expect(again()).rejects.toThrow(/rsst-50\/pruning\.json is no record of a pruning/);

    writeFileSync(join(out, 'compare.json'), '{"kind": 1}');
    await expect(again()).rejects.toThrow(/compare\.json does not describe a comparison/);
  });

  it('refuses a folder with other things in it, and one that is in use', async () => {
    await expect(run(join(folder, 'images'))).rejects.toThrow(
      /is not empty \(test, train\) and holds no comparison/,
    );
    expect(readdirSync(join(folder, 'images')).sort()).toEqual(['test', 'train']);
    const lock = FileLock.acquire(join(whole, 'compare.lock'), whole);
    await expect(run(whole)).rejects.toThrow(/in use by this process itself/);
    lock.release();
  });
});

describe('what cannot be compared', () => {
  it.each<[string, Partial<CompareRequest>, string | RegExp]>([
    ['a kind that the model has not', { targets: ['heads'] }, /got 'heads', expected one of/],
    [
      'an architecture that is none',
      { train: { arch: 'mamba', dataset: 'folder', model: {}, recipe: { epochs: 1 } } },
      'mamba',
    ],
    ['one further epoch', { finetune: { epochs: 1 } }, 'expected at least 2'],
  ])('is refused before any work: %s', async (_, change, message) => {
    const out = join(folder, 'refused');
    const train = { ...request.train, ...change.train, data: request.train.data };
    await expect(compare({ ...request, ...change, train }, { out })).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
  });
});
