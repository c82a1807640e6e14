// Folders into repositories of a hub that runs here.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HubError } from './errors.js';
import { fetchFromHub } from './fetch.js';
import { type PushOptions, type PushProgress, pushToHub } from './push.js';
import { HubServer } from './testing/hub-server.js';

const weights = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const commit = '1'.repeat(40);

let server: HubServer;
let folder: string;
let options: PushOptions;

beforeEach(async () => {
  for (const name of ['HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HOME']) vi.stubEnv(name, '');
  server = await HubServer.start({
    'lab/there': { refs: { main: commit, next: commit }, files: { 'old.txt': Buffer.from('old') } },
    'lab/hidden': { refs: { main: commit }, files: {}, private: true },
  });
  folder = mkdtempSync(join(tmpdir(), 'mp-push-'));
  vi.stubEnv('HF_TOKEN_PATH', join(folder, '.token'));
  mkdirSync(join(folder, 'model', 'onnx'), { recursive: true });
  mkdirSync(join(folder, 'model', '.git'));
  writeFileSync(join(folder, 'model', 'README.md'), '# model\n');
  writeFileSync(join(folder, 'model', 'config.json'), '{}\n');
  writeFileSync(join(folder, 'model', '.git', 'config'), 'secret');
  writeFileSync(join(folder, 'model', 'model.safetensors'), weights);
  writeFileSync(join(folder, 'model', 'onnx', 'model.onnx'), weights.subarray(1));
  options = { endpoint: server.endpoint, token: 'hf_writer' };
});

afterEach(() => {
  server.stop();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const model = (): string => join(folder, 'model');
const all = ['README.md', 'config.json', 'model.safetensors', 'onnx/model.onnx'];

async function refusal(repo: string, changes: PushOptions = {}): Promise<string> {
  const error: unknown = await pushToHub(model(), repo, { ...options, ...changes }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(HubError);
  const { message } = error as HubError;
  expect(message).not.toContain('hf_writer');
  expect(server.push.commits).toEqual([]);
  return message;
}

describe('pushToHub', () => {
  it('uploads a folder in one commit, what is hidden left out and other files kept', async () => {
    const progress: PushProgress[] = [];
    const result = await pushToHub(model(), 'lab/there', {
      ...options,
      message: 'A smaller model',
      onProgress: (now) => progress.push(now),
    });
    expect(result).toMatchObject({
      repo: 'lab/there',
      revision: 'main',
      url: `${server.endpoint}/lab/there`,
      created: false,
    });
    expect(result.files.map(({ file }) => file)).toEqual(all);
    expect(server.push.commits).toEqual([
      { repo: 'lab/there', branch: 'main', summary: 'A smaller model', files: all },
    ]);
    const { files, refs, lfs } = server.repos['lab/there'] ?? {};
    expect(refs?.['main']).toBe(result.commit);
    expect(Object.keys(files ?? {}).sort()).toEqual([...all, 'old.txt'].sort());
    expect(files?.['model.safetensors']?.equals(weights)).toBe(true);
    expect(files?.['README.md']?.toString()).toBe('# model\n');
    expect([...(lfs ?? [])].sort()).toEqual(['model.safetensors', 'onnx/model.onnx']);
    const { sent, total } = progress.at(-1) ?? {};
    expect(total).toBe(2 * weights.length - 1 + 8 + 3);
    // Small files go with the commit, and nobody is told of their way.
    expect(sent).toBe(2 * weights.length - 1);
  });

  it('gives back to fetchFromHub what it was given', async () => {
    await pushToHub(model(), 'lab/new', { ...options, create: true });
    const cacheDir = join(folder, 'cache');
    const { endpoint } = options;
    const { path } = await fetchFromHub('hf:lab/new', { endpoint, cacheDir });
    expect(readFileSync(path).equals(weights)).toBe(true);
  });

  it('makes the repository and the branch if asked, private if asked', async () => {
    const changes = { ...options, create: true, private: true, revision: 'v2' };
    const first = await pushToHub(model(), 'lab/new', changes);
    expect(first.created).toBe(true);
    expect(server.repos['lab/new']?.private).toBe(true);
    expect(server.push.commits[0]).toMatchObject({
      branch: 'v2',
      summary: 'Upload new with mamba-prune',
    });
    const again = await pushToHub(model(), 'lab/new', changes);
    expect(again.created).toBe(false);
    const hidden = await pushToHub(model(), 'lab/hidden', { ...changes, revision: 'main' });
    expect(hidden.created).toBe(false);
  });

  it('sends no contents that the hub has', async () => {
    await pushToHub(model(), 'lab/there', options);
    const puts = (): number => server.seen.filter(({ method }) => method === 'PUT').length;
    expect(puts()).toBe(2);
    await pushToHub(model(), 'lab/there', { ...options, revision: 'next' });
    expect(puts()).toBe(2);
    expect(server.push.commits.map(({ branch }) => branch)).toEqual(['main', 'next']);
  });

  it('uploads what links lead to, as snapshots of the cache have them', async () => {
    rmSync(join(model(), 'model.safetensors'));
    writeFileSync(join(folder, 'blob'), weights);
    symlinkSync(join(folder, 'blob'), join(model(), 'model.safetensors'));
    await pushToHub(model(), 'lab/there', options);
    const { files } = server.repos['lab/there'] ?? {};
    expect(files?.['model.safetensors']?.equals(weights)).toBe(true);
  });

  it('takes the token that hf auth login stored, and HF_ENDPOINT', async () => {
    writeFileSync(join(folder, '.token'), 'hf_writer\n');
    vi.stubEnv('HF_ENDPOINT', server.endpoint);
    await pushToHub(model(), 'lab/there');
    expect(server.push.commits.length).toBe(1);
  });
});

describe('pushToHub refuses', () => {
  it.each<[string, PushOptions, string]>([
    ['lab', {}, "pushToHub: repo: got 'lab', expected owner/name"],
    ['lab/../x', {}, "got 'lab/../x', expected owner/name"],
    ['lab/x', { token: 'secret' }, "pushToHub: token: got a token that does not begin with 'hf_'"],
    [
      'lab/x',
      { token: 'hf_a b' },
      'pushToHub: token: got a token of which no letters follow, or which has blanks',
    ],
    ['lab/x', { token: 'hf_汉' }, 'or letters that no token has'],
    ['lab/x', { endpoint: 'hub' }, "pushToHub: endpoint: got 'hub', expected a URL"],
  ])('%s with %j', async (repo, changes, words) => {
    await expect(pushToHub(model(), repo, { ...options, ...changes })).rejects.toThrow(words);
    expect(server.seen).toEqual([]);
  });

  it('a folder that is none, or has nothing to upload', async () => {
    await expect(pushToHub(join(folder, 'no'), 'lab/x', options)).rejects.toThrow('is no folder');
    mkdirSync(join(folder, 'empty'));
    await expect(pushToHub(join(folder, 'empty'), 'lab/x', options)).rejects.toThrow(
      'has no files',
    );
  });

  it('without a token, before anything is asked', async () => {
    const said = await refusal('lab/there', { token: undefined });
    expect(said).toContain('lab/there: got no token, expected one that may write there.');
    expect(server.seen).toEqual([]);
  });

  it.each<[string, string, PushOptions, string]>([
    [
      'a token that the hub does not know (401)',
      'lab/there',
      { token: 'hf_stale' },
      'answered 401: it does not know the token. Make a new one at',
    ],
    [
      'a token that may only read (403)',
      'lab/there',
      { token: 'hf_reader' },
      'answered 403: the token may not write to it. Set HF_TOKEN',
    ],
    [
      'a token that may make nothing there (403)',
      'lab/new',
      { token: 'hf_reader', create: true },
      'answered 403: the token may not make repositories of lab.',
    ],
    [
      'a repository that there is not (404)',
      'lab/new',
      {},
      "answered 404: there is no such repository, or no branch 'main' in it",
    ],
    [
      'a branch that there is not (404)',
      'lab/there',
      { revision: 'v9' },
      "no branch 'v9' in it, or the token may not see it. Look at",
    ],
    [
      'a public repository where it is to be private',
      'lab/there',
      { create: true, private: true },
      'the repository exists and is public, expected a private one. Nothing was uploaded.',
    ],
  ])('%s', async (_, repo, changes, words) => {
    expect(await refusal(repo, changes)).toContain(words);
  });

  it.each<[RegExp, number, string]>([
    [/commit/, 409, 'somebody else has changed it at the same time. Run the same command again.'],
    [/commit/, 412, 'somebody else has changed it at the same time.'],
    [/lfs\//, 413, 'the largest is model.safetensors with 68.4 KiB. Take it out of the folder, or'],
    [/preupload/, 429, 'it has been asked too much.'],
    [/preupload/, 503, 'it has troubles of its own. Try again later. Nothing was committed.'],
    [/commit/, 400, 'answered 400: the card has no license. Change what it complains of.'],
    [
      /commit/,
      504,
      'broke while the commit was made (status 504), so that all of it was committed',
    ],
  ])('where %s is answered with %d', async (path, status, words) => {
    server.push.refuse = { path, status, error: 'the card has no license' };
    expect(await refusal('lab/there')).toContain(words);
  });

  it('where nothing answers', async () => {
    const endpoint = 'http://127.0.0.1:2';
    const said = await refusal('lab/there', { endpoint });
    expect(said).toContain(`lab/there: cannot reach ${endpoint}, or the connection broke (`);
    expect(said).toContain('set HF_ENDPOINT to a mirror');
  });

  it('where the hub never answers that it made the repository', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      server.silentAt = /repos\/create/;
      server.push.onRequest = undefined;
      const refused = refusal('lab/new', { create: true });
      await vi.waitFor(() => {
        expect(server.seen.length).toBe(1);
      });
      vi.advanceTimersByTime(30_000);
      expect(await refused).toContain('broke (nothing received for 30000 ms). Nothing was');
    } finally {
      vi.useRealTimers();
    }
  });

  it('to go on where onProgress throws, with what it threw', async () => {
    const own = new TypeError('x is not a function');
    const onProgress = (): never => {
      throw own;
    };
    const pushing = pushToHub(model(), 'lab/there', { ...options, onProgress });
    await expect(pushing).rejects.toBe(own);
    expect(server.push.commits).toEqual([]);
  });

  it('where the connection breaks under a file, and the same call goes on', async () => {
    server.push.breakAt = /lfs\/[0-9a-f]/;
    expect(await refusal('lab/there')).toContain('Nothing was committed. The same command goes on');
    server.push.breakAt = undefined;
    await pushToHub(model(), 'lab/there', options);
    expect(server.push.commits.length).toBe(1);
  });

  it('where it breaks under the commit, of which it says that nobody knows', async () => {
    server.push.breakAt = /\/commit\//;
    expect(await refusal('lab/there')).toContain('Look at http');
  });

  it('to go on when it is stopped', async () => {
    const stop = new AbortController();
    server.push.onRequest = (path) => {
      if (path.includes('preupload')) stop.abort();
    };
    const pushing = pushToHub(model(), 'lab/there', { ...options, signal: stop.signal });
    const thrown: unknown = await pushing.catch((error: unknown) => error);
    expect(stop.signal.aborted).toBe(true);
    expect(thrown).toBe(stop.signal.reason);
    expect(server.push.commits).toEqual([]);
  });
});
