import { appendFileSync, cpSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Studio } from 'mamba-prune/internal';
import { loadModel } from 'mamba-prune';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeBoxedModels } from '../../../mamba-prune/src/cli/testing/boxed-models.js';
import type { ReportData, StudioUpdate } from '../page-data/report.js';
import type { TryOutModel } from '../page-data/try-out.js';
import { type SmallRuns, makeSmallRuns } from '../testing/small-runs.js';
import { startStudio } from './start-studio.js';
import { Watcher } from './watcher.js';

let small: SmallRuns;
let studio: Studio;
beforeAll(async () => {
  small = await makeSmallRuns();
  studio = await startStudio({ folder: small.runs, port: 0 });
});
afterAll(async () => {
  await studio.close();
  small.remove();
});

const get = (path: string): Promise<Response> => fetch(new URL(path, studio.url));

/** Node's fetch does not let a Host header be chosen. */
const statusFor = (host: string): Promise<number | undefined> =>
  new Promise((done, fail) => {
    request(studio.url, { headers: { host } }, (response) => {
      response.resume();
      done(response.statusCode);
    })
      .on('error', fail)
      .end();
  });

describe('the studio', () => {
  it('listens on the loopback address alone', () => {
    expect(new URL(studio.url).hostname).toBe('127.0.0.1');
  });

  it('refuses a port that is taken, and a folder that does not exist', async () => {
    const port = Number(new URL(studio.url).port);
    await expect(startStudio({ folder: small.runs, port })).rejects.toThrow(
      `\`port\`: ${port} cannot be used (EADDRINUSE)`,
    );
    await expect(startStudio({ folder: join(small.runs, 'no'), port: 0 })).rejects.toThrow(
      /is no folder, expected one that holds runs/,
    );
    await expect(startStudio({ folder: 'models:cifar10/mamba_small-90', port: 0 })).rejects.toThrow(
      /is a trained model, expected a folder with runs\. .* while there are no runs/,
    );
  });

  it('gives nothing to another name that points to it', async () => {
    const { port } = new URL(studio.url);
    expect(await statusFor(`127.0.0.1:${port}`)).toBe(200);
    expect(await statusFor(`localhost:${port}`)).toBe(200);
    expect(await statusFor(`evil.example:${port}`)).toBe(403);
    expect(await statusFor('127.0.0.1:1')).toBe(403);
  });

  it('does nothing for pages of other sites', async () => {
    const from = async (site: string, path: string): Promise<number> =>
      (await fetch(new URL(path, studio.url), { headers: { 'sec-fetch-site': site } })).status;
    expect(await from('cross-site', '/api/evaluation')).toBe(403);
    expect(await from('same-site', '/api/report')).toBe(403);
    expect(await from('same-origin', '/api/report')).toBe(200);
    expect(await from('cross-site', '/')).toBe(200); // a link
  });

  it('gives all runs as JSON, and a page that may load nothing from elsewhere', async () => {
    const report = (await (await get('/api/report')).json()) as ReportData;
    expect(report.runs.map(({ id }) => id)).toEqual(['dense', 'oneshot', 'refill', 'rsst']);
    // As a report does: the page calls them by these names.
    expect(report.kinds?.['ssm']?.en).toBe('SSM channels');
    const { headers } = await get('/');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
  });

  it.each([
    '/assets/../package.json',
    '/assets/%2e%2e%2fpackage.json',
    '/ort/ort.all.mjs',
    '/api/model?run=../images',
    '/api/model?run=/etc',
    '/api/model',
    '/api/try-out?run=nothing',
  ])('serves nothing for %s', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('exports a model that says what the run says', async () => {
    const bytes = new Uint8Array(await (await get('/api/model?run=oneshot')).arrayBuffer());
    const text = Buffer.from(bytes).toString('latin1');
    expect(text).toContain('mamba_prune');
    expect(text).toContain('probabilities');
  });

  it('has test images of another folder where it was told of one', async () => {
    const empty = join(small.folder, 'no-images');
    mkdirSync(empty);
    const other = await startStudio({ folder: small.runs, port: 0, data: empty });
    const answer = async (path: string): Promise<unknown> =>
      (await fetch(new URL(path, other.url))).json();
    expect(await answer('/api/try-out?run=oneshot')).toMatchObject({ samples: [] });
    const { notes } = (await answer('/api/evaluation')) as { readonly notes: string[] };
    expect(notes[0]).toContain(empty);
    await other.close();
  });

  it('has test images to try, of the size that the model takes', async () => {
    const tried = (await (await get('/api/try-out?run=oneshot')).json()) as TryOutModel;
    expect(tried).toMatchObject({ run: 'oneshot', side: 8, classes: ['left', 'right'] });
    expect(tried.samples).toHaveLength(16); // all there are
    expect(tried.samples.filter(({ label }) => label === 1)).toHaveLength(8);
    expect(tried.samples[0]?.image).toMatch(/^data:image\/png;base64,/);
  });
});

describe('a watcher', () => {
  let folder: string;
  let watcher: Watcher;
  let updates: StudioUpdate[];
  let end: () => void;
  beforeEach(() => {
    folder = join(small.folder, 'watched');
    cpSync(join(small.runs, 'dense'), join(folder, 'dense'), { recursive: true });
    watcher = new Watcher(folder);
    updates = [];
    end = watcher.subscribe((update) => updates.push(update));
  });
  afterEach(() => {
    end();
    rmSync(folder, { recursive: true });
  });

  it('says nothing while nothing changes', () => {
    watcher.refresh();
    expect(updates).toEqual([]);
  });

  it('tells of a new epoch, and of that run alone', () => {
    cpSync(join(small.runs, 'rsst'), join(folder, 'rsst'), { recursive: true });
    watcher.refresh();
    expect(updates[0]?.order).toEqual(['dense', 'rsst']);
    const line = { ...watcher.run('dense')?.epochs.at(-1), type: 'epoch', epoch: 4, step: 16 };
    appendFileSync(join(folder, 'dense', 'metrics.jsonl'), `${JSON.stringify(line)}\n`);
    watcher.refresh();
    expect(updates[1]?.runs.map(({ id, epochs }) => [id, epochs.at(-1)?.x])).toEqual([
      ['dense', 4],
    ]);
  });

  it('tells everybody who listens', () => {
    const others: StudioUpdate[] = [];
    const endOther = watcher.subscribe((update) => others.push(update));
    rmSync(join(folder, 'dense'), { recursive: true });
    watcher.refresh();
    endOther();
    expect(updates).toEqual(others);
    expect(updates[0]?.order).toEqual([]);
  });

  it('sees that a run begins to be written, and that its process is gone', () => {
    const lock = join(folder, 'dense', 'run.lock');
    const holder = { pid: process.pid, host: hostname(), started: null, since: '' };
    writeFileSync(lock, JSON.stringify(holder));
    watcher.refresh();
    expect(updates[0]?.runs[0]?.state).toBe('running');
    // No process has this id: Linux has fewer than 2^22.
    writeFileSync(lock, JSON.stringify({ ...holder, pid: 2 ** 30 }));
    watcher.refresh();
    expect(updates[1]?.runs[0]?.state).toBe('finished');
  });

  it('goes on showing a run whose file was damaged, and says so', () => {
    mkdirSync(join(folder, 'dense', 'importance'));
    const path = join(folder, 'dense', 'metrics.jsonl');
    writeFileSync(path, 'no JSON\n');
    utimesSync(path, 1, 1);
    watcher.refresh();
    expect(updates[0]?.notes[0]).toMatch(/line 1 of .*metrics\.jsonl is no JSON/);
    expect(watcher.run('dense')?.epochs).toHaveLength(3);
  });
});

describe('a studio without runs', () => {
  const at = (...names: string[]): string => join(small.folder, 'without', ...names);
  const pruning = { method: 'oneshot', rates: { ssm: 0.7, mlp: 0.7 } };
  let own: Studio;
  beforeAll(async () => {
    mkdirSync(at('runs'), { recursive: true });
    const [dense, oneshot] = ['dense', 'oneshot'].map((run) =>
      loadModel(join(small.runs, run, 'model.safetensors')),
    );
    if (!dense || !oneshot) throw new Error('no models');
    writeBoxedModels(at('box'), [
      { name: 'folder/dense', ...dense },
      { name: 'folder/oneshot-70', ...oneshot, pruning },
    ]);
    for (const { model } of [dense, oneshot]) model.dispose();
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('box'));
    own = await startStudio({ folder: at('runs'), port: 0 });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await own.close();
  });

  const report = async (): Promise<ReportData> =>
    (await (await fetch(new URL('/api/report', own.url))).json()) as ReportData;

  it('offers the trained models, with what their index and cards say', async () => {
    const { runs, notes } = await report();
    expect(notes).toEqual([expect.stringContaining('There are no runs here yet.')]);
    expect(runs.map(({ id, method, isDense }) => [id, method, isDense])).toEqual([
      ['folder/dense', 'train', true],
      ['folder/oneshot-70', 'oneshot', false],
    ]);
    const { model, info } = loadModel('models:folder/oneshot-70');
    expect(runs[1]).toMatchObject({
      accuracy: 0.75,
      accuracyBefore: 0.8,
      size: { parameters: model.numParameters() },
      sizeBefore: { parameters: 4000, macs: 50_000 },
      dataset: { name: 'folder', note: 'A note on folder/oneshot-70.' },
      repeat: { cwd: '', line: 'mamba-prune prune runs/a --out runs/folder/oneshot-70' },
      seed: 3,
    });
    model.dispose();
    const tried = await fetch(new URL('/api/try-out?run=folder/oneshot-70', own.url));
    expect(await tried.json()).toMatchObject({ classes: info.classes, samples: [] });
    const onnx = await fetch(new URL('/api/model?run=folder/oneshot-70', own.url));
    expect(Buffer.from(await onnx.arrayBuffer()).toString('latin1')).toContain('probabilities');
    const evaluated = await fetch(new URL('/api/evaluation', own.url));
    // No run says where these images are.
    expect(await evaluated.json()).toEqual({
      evaluation: null,
      notes: [expect.stringMatching(/^openDataset "folder": .*\(`dir`\)/)],
    });
  });

  it('has the images of the folder that it was told', async () => {
    const told = await startStudio({ folder: at('runs'), port: 0, data: small.images });
    const answer = async (path: string): Promise<unknown> =>
      (await fetch(new URL(path, told.url))).json();
    const tried = (await answer('/api/try-out?run=folder/oneshot-70')) as TryOutModel;
    expect(tried.samples).toHaveLength(16);
    expect(await answer('/api/evaluation')).toMatchObject({
      evaluation: { images: 16, runs: [{ run: 'folder/dense' }, { run: 'folder/oneshot-70' }] },
      notes: [],
    });
    await told.close();
    const wrong = startStudio({ folder: at('runs'), port: 0, data: at('nowhere') });
    await expect(wrong).rejects.toThrow(
      `\`data\`: ${at('nowhere')} is no folder, expected the one of the data set.`,
    );
  });

  it('shows the runs and nothing else as soon as there is one', async () => {
    cpSync(join(small.runs, 'dense'), at('runs', 'dense'), { recursive: true });
    const { runs, notes } = await report();
    expect(runs.map(({ id }) => id)).toEqual(['dense']);
    expect(notes).toEqual([]);
    rmSync(at('runs', 'dense'), { recursive: true });
    expect((await report()).runs).toHaveLength(2);
  });

  it('says what is wrong with the package, and serves its page all the same', async () => {
    mkdirSync(at('broken'));
    writeFileSync(at('broken', 'index.json'), '{}');
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('broken'));
    const other = await startStudio({ folder: at('runs'), port: 0 });
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('box'));
    const told = (await (await fetch(new URL('/api/report', other.url))).json()) as ReportData;
    await other.close();
    expect(told.runs).toEqual([]);
    expect(told.notes).toEqual([expect.stringContaining('is no index of trained models')]);
  });

  it('needs no folder: runs may appear in runs/', async () => {
    const usual = await startStudio({ port: 0 });
    expect((await fetch(usual.url)).status).toBe(200);
    await usual.close();
  });
});
