import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FileLock } from '../files/lock.js';
import { HubError } from './errors.js';
import { type HubOptions, fetchFromHub } from './fetch.js';
import { besideFile } from './model-card-config.js';
import { type FakeRepo, HubServer, gitHash, sha256 } from './testing/hub-server.js';

const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const [first, second] = ['1'.repeat(40), '2'.repeat(40)];
const repos: Record<string, FakeRepo> = {
  'lab/vim': {
    refs: { main: first, 'v1.0': second, 'refs/pr/1': second },
    files: {
      'README.md': Buffer.from('# vim'),
      'config.json': Buffer.from('{}'),
      'model.safetensors': weights,
      'old/model.safetensors': Buffer.from('older'),
    },
    lfs: ['model.safetensors'],
  },
  'lab/small': {
    refs: { main: first },
    files: { 'net.pth': Buffer.from('torch'), 'a.md': Buffer.from('') },
  },
  'lab/many': {
    refs: { main: first },
    files: { 'a.safetensors': weights, 'b.safetensors': weights },
  },
  'lab/described': {
    refs: { main: first },
    files: {
      'config.json': Buffer.from('{"architecture": "vit_tiny_patch16_224"}'),
      'pytorch_model.bin': Buffer.from('torch'),
      'training_args.bin': Buffer.from('arguments'),
      'other.pth': Buffer.from('torch too'),
      'sub/net.pth': Buffer.from('deep'),
      'sub/preprocessor_config.json': Buffer.from('{"do_normalize": false}'),
    },
  },
  'lab/shards': {
    refs: { main: first },
    files: {
      'model-00001-of-00002.safetensors': weights,
      'model-00002-of-00002.safetensors': weights,
      'model.safetensors.index.json': Buffer.from('{}'),
    },
  },
  'lab/none': { refs: { main: first }, files: { 'README.md': Buffer.from('nothing') } },
  'lab/split': {
    refs: { main: first },
    files: { 'model.safetensors.index.json': Buffer.from('{}') },
  },
  'lab/private': {
    refs: { main: first },
    files: { 'model.safetensors': weights },
    lfs: ['model.safetensors'],
    access: { token: 'hf_right' },
  },
  'lab/gated': { refs: { main: first }, files: {}, access: 'gated' },
};

let server: HubServer;
let cacheDir: string;
let notes: string[];
let quick: HubOptions;

beforeEach(async () => {
  for (const name of ['HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HOME']) vi.stubEnv(name, '');
  server = await HubServer.start(repos);
  cacheDir = mkdtempSync(join(tmpdir(), 'mp-hub-'));
  vi.stubEnv('HF_TOKEN_PATH', join(cacheDir, 'no-token'));
  notes = [];
  quick = {
    cacheDir,
    endpoint: server.endpoint,
    retries: 2,
    retryDelayMs: 1,
    onProgress: ({ received }) => {
      server.arrived(received);
    },
    onNote: (note) => notes.push(note),
  };
});

afterEach(() => {
  server.stop();
  vi.unstubAllEnvs();
  rmSync(cacheDir, { recursive: true, force: true });
});

/** From now on nothing listens: at none of the ports that systems hand out. */
function goneEndpoint(): string {
  server.stop();
  const endpoint = 'http://127.0.0.1:2';
  quick = { ...quick, endpoint };
  return endpoint;
}

describe('the options of fetchFromHub', () => {
  it.each<[HubOptions, string]>([
    [{ retries: -1 }, 'fetchFromHub: retries: got -1, expected an integer of at least 0.'],
    [{ retries: NaN }, 'fetchFromHub: retries: got NaN, expected an integer'],
    [{ retryDelayMs: -5 }, 'fetchFromHub: retryDelayMs: got -5, expected a number of at least 0.'],
    [{ endpoint: 'hub' }, "fetchFromHub: endpoint: got 'hub', expected a URL such as https://"],
    [{ token: 'secret' }, "fetchFromHub: token: got a token that does not begin with 'hf_'"],
  ])('are refused: %j', async (options, words) => {
    await expect(fetchFromHub('hf:lab/vim', { ...quick, ...options })).rejects.toThrow(words);
  });
});

describe('two processes that want the same file', () => {
  it('download it one after the other: the second waits for the first, and says so', async () => {
    const { path } = await fetchFromHub('hf:lab/small', quick);
    const blob = realpathSync(path);
    rmSync(blob);
    rmSync(path, { force: true });
    const lock = FileLock.acquire(`${blob}.lock`, blob);
    const said: string[] = [];
    const onNote = (note: string): void => {
      said.push(note);
      lock.release();
    };
    const again = await fetchFromHub('hf:lab/small', { ...quick, onNote });
    expect(said).toEqual([
      `Another process downloads the same file; waiting for it. If none does any more, delete ${blob}.lock.`,
    ]);
    expect(readFileSync(again.path, 'utf8')).toBe('torch');
  });
});

describe('fetchFromHub', () => {
  it('downloads the weights of a repository into the cache that Python shares', async () => {
    const progress: number[] = [];
    const found = await fetchFromHub('hf:lab/vim', {
      ...quick,
      onProgress: ({ received, total }) => {
        expect(total).toBe(weights.length);
        progress.push(received);
      },
    });
    expect(found).toEqual({
      path: join(cacheDir, 'models--lab--vim', 'snapshots', first, 'model.safetensors'),
      repo: 'lab/vim',
      commit: first,
      file: 'model.safetensors',
      downloaded: true,
    });
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    expect(realpathSync(found.path)).toBe(
      join(realpathSync(cacheDir), 'models--lab--vim', 'blobs', sha256(weights)),
    );
    // What describes the weights comes along.
    expect(readdirSync(join(cacheDir, 'models--lab--vim', 'blobs')).sort()).toEqual(
      [sha256(weights), gitHash(Buffer.from('{}'))].sort(),
    );
    expect(readFileSync(join(cacheDir, 'models--lab--vim', 'refs', 'main'), 'utf8')).toBe(first);
    expect(progress[0]).toBe(0);
    expect(progress.at(-1)).toBe(weights.length);
  });

  it('asks for nothing but the commit and the listing the second time', async () => {
    await fetchFromHub('hf:lab/vim', quick);
    const before = server.contents().length;
    const again = await fetchFromHub('hf:lab/vim', quick);
    expect(again.downloaded).toBe(false);
    expect(server.contents().length).toBe(before);
  });

  it('asks nothing at all for a file of a commit that it has', async () => {
    await fetchFromHub(`hf:lab/vim@${first}:model.safetensors`, quick);
    const { length } = server.seen;
    const again = await fetchFromHub(`hf:lab/vim@${first}:model.safetensors`, quick);
    expect(again).toMatchObject({ commit: first, downloaded: false });
    expect(server.seen.length).toBe(length);
  });

  it('takes a tag, a pull request and a file in a folder, and shares equal contents', async () => {
    await fetchFromHub('hf:lab/vim', quick);
    const before = server.contents().length;
    const tag = await fetchFromHub('hf:lab/vim@v1.0', quick);
    expect(tag.commit).toBe(second);
    expect(server.contents().length).toBe(before);
    const old = await fetchFromHub('hf:lab/vim@refs/pr/1:old/model.safetensors', quick);
    expect(readFileSync(old.path, 'utf8')).toBe('older');
    // Not in LFS: named by git's hash of it.
    expect(realpathSync(old.path)).toContain(gitHash(Buffer.from('older')));
  });

  it('takes the only torch.save file where there is no safetensors file', async () => {
    expect((await fetchFromHub('hf:lab/small', quick)).file).toBe('net.pth');
  });

  it('brings along what describes the weights, from the same folder', async () => {
    const found = await fetchFromHub('hf:lab/described', quick);
    expect(found.file).toBe('pytorch_model.bin');
    expect(besideFile(found.path)).toMatchObject({ arch: 'vit_tiny' });
    expect(notes).toEqual([
      'hf:lab/described has several files of weights: pytorch_model.bin was taken, not other.pth. ' +
        'Another one is named with hf:lab/described:other.pth.',
    ]);
    const deep = await fetchFromHub('hf:lab/described:sub/net.pth', quick);
    expect(besideFile(deep.path)).toMatchObject({ mean: [0, 0, 0], std: [1, 1, 1] });
    const { length } = server.contents();
    await fetchFromHub('hf:lab/described', quick);
    await fetchFromHub('hf:lab/described:sub/net.pth', quick);
    expect(server.contents()).toHaveLength(length);
  });

  it('goes on where a connection broke off', async () => {
    server.breakAfter.push(100_000, 50_000);
    const found = await fetchFromHub('hf:lab/vim', quick);
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    const ranges = server.contents().filter((request) => request.server === 'content');
    expect(ranges.map(({ range }) => range)).toEqual([
      undefined,
      'bytes=100000-299999',
      'bytes=150000-299999',
    ]);
    expect(notes.join('\n')).toContain('trying again after 100000 bytes');
  });

  it('keeps what came when it gives up, and a later call goes on from there', async () => {
    server.breakAfter.push(120_000, 0, 0, 0);
    await expect(fetchFromHub('hf:lab/vim', quick)).rejects.toThrow(
      /model\.safetensors broke off after 120000 of 300000 bytes .* The same command goes on/,
    );
    expect(readdirSync(join(cacheDir, 'models--lab--vim', 'blobs'))).toEqual([
      `${sha256(weights)}.part`,
    ]);
    server.seen.length = 0;
    server.breakAfter.length = 0;
    await fetchFromHub('hf:lab/vim', quick);
    const ranges = server.contents().filter((request) => request.server === 'content');
    expect(ranges.at(-1)?.range).toBe('bytes=120000-299999');
  });

  it('downloads again from the start if a resumed file has a wrong checksum', async () => {
    const blobs = join(cacheDir, 'models--lab--vim', 'blobs');
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${sha256(weights)}.part`), 'something else');
    const found = await fetchFromHub('hf:lab/vim', quick);
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    expect(notes).toEqual([
      'model.safetensors: its checksum is wrong after resuming; downloaded again.',
    ]);
  });

  it('refuses contents that are not those the hub lists, and leaves nothing behind', async () => {
    server.spoil = (content) => Buffer.from(content).fill(7, 5, 9);
    await expect(fetchFromHub('hf:lab/vim', quick)).rejects.toThrow(
      /got sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/,
    );
    expect(readdirSync(join(cacheDir, 'models--lab--vim', 'blobs'))).toEqual([]);
  });

  it('tries again after trouble of the hub itself', async () => {
    await fetchFromHub('hf:lab/vim', { ...quick, onProgress: () => undefined });
    rmSync(join(cacheDir, 'models--lab--vim'), { recursive: true });
    // Commit and listing come through; then the file fails twice.
    let asked = 0;
    const found = await fetchFromHub('hf:lab/vim', {
      ...quick,
      fetch: (input, init) => {
        if (
          !String(input instanceof Request ? input.url : input).includes('/api/') &&
          asked++ < 2
        ) {
          return Promise.resolve(new Response('busy', { status: asked === 1 ? 503 : 429 }));
        }
        return fetch(input, init);
      },
    });
    expect(found.downloaded).toBe(true);
    expect(asked).toBeGreaterThan(2);
  });

  it('takes a connection that has gone silent for broken, and goes on after what it brought', async () => {
    let silent = 0;
    const found = await fetchFromHub('hf:lab/vim:model.safetensors', {
      ...quick,
      stallMs: 200,
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        const isContent = response.headers.get('content-length') === String(weights.length);
        if (!isContent || silent++ > 0) return response;
        await response.body?.cancel();
        const begun = new ReadableStream({
          start(controller) {
            controller.enqueue(weights.subarray(0, 1000));
          },
        });
        return new Response(begun, { headers: response.headers });
      },
    });
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    expect(notes).toEqual([
      'model.safetensors: nothing received for 200 ms; trying again after 1000 bytes.',
    ]);
    expect(server.contents().map(({ range }) => range)).toContain('bytes=1000-299999');
  });

  it.each([/\/revision\//, /\/paths-info\//, /\/tree\//])(
    'ends where the hub never answers %s, or takes what the cache has',
    async (silent) => {
      const spec = String(silent).includes('tree') ? 'hf:lab/vim' : 'hf:lab/vim:model.safetensors';
      server.silentAt = silent;
      const asking = { ...quick, stallMs: 100 };
      await expect(fetchFromHub(spec, asking)).rejects.toThrow(
        `cannot reach ${server.endpoint} (nothing received for 100 ms), and the cache has no copy.`,
      );
      server.silentAt = undefined;
      const { path } = await fetchFromHub(spec, quick);
      server.silentAt = silent;
      expect(await fetchFromHub(spec, asking)).toMatchObject({ path, downloaded: false });
      expect(notes).toEqual([
        expect.stringMatching(/^Cannot reach .*: using model.safetensors of lab\/vim as it was/),
      ]);
    },
  );

  it.each(['onProgress', 'onBegin'] as const)('ends with what %s throws', async (name) => {
    // Of a kind that a foreign answer or a broken network would give too.
    const own = new TypeError('x is not a function');
    const options = {
      ...quick,
      [name]: () => {
        throw own;
      },
    };
    await expect(fetchFromHub('hf:lab/vim', options)).rejects.toBe(own);
    expect(notes).toEqual([]);
  });

  it.each([408, 425])(
    'tries a file again after status %i, as other downloads do',
    async (status) => {
      let asked = 0;
      const found = await fetchFromHub('hf:lab/vim:model.safetensors', {
        ...quick,
        fetch: (input, init) => {
          const isApi = String(input instanceof Request ? input.url : input).includes('/api/');
          return !isApi && asked++ === 0
            ? Promise.resolve(new Response('slow', { status }))
            : fetch(input, init);
        },
      });
      expect(found.downloaded).toBe(true);
    },
  );

  it('refuses what is no file where one belongs in the cache, without trying again', async () => {
    const part = join(cacheDir, 'models--lab--vim', 'blobs', `${sha256(weights)}.part`);
    mkdirSync(part, { recursive: true });
    const error: unknown = await fetchFromHub('hf:lab/vim', quick).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(HubError);
    expect((error as Error).message).toBe(`${part} is no regular file. Delete it.`);
    expect(notes).toEqual([]);
  });

  it('downloads once for two callers', async () => {
    const [a, b] = await Promise.all([
      fetchFromHub('hf:lab/vim', quick),
      fetchFromHub('hf:lab/vim', quick),
    ]);
    expect(a.path).toBe(b.path);
    expect(server.contents().filter((request) => request.server === 'content').length).toBe(1);
  });

  it('stops when it is told to, and keeps what came', async () => {
    const stop = new AbortController();
    await expect(
      fetchFromHub('hf:lab/vim', {
        ...quick,
        signal: stop.signal,
        onProgress: ({ received }) => {
          if (received > 0) stop.abort(new Error('enough'));
        },
      }),
    ).rejects.toThrow(
      /^lab\/vim: model\.safetensors was stopped \(enough\) after \d+ bytes\. The same command continues there\.$/,
    );
    expect(readdirSync(join(cacheDir, 'models--lab--vim', 'blobs'))).toEqual([
      `${sha256(weights)}.part`,
    ]);
  });
});

describe('access', () => {
  it('sends the token to the hub, and never to the server of the contents', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_right');
    const found = await fetchFromHub('hf:lab/private', quick);
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    const sent = (where: string): (string | undefined)[] =>
      server.seen.filter((r) => r.server === where).map((r) => r.authorization);
    expect(new Set(sent('hub'))).toEqual(new Set(['Bearer hf_right']));
    expect(new Set(sent('content'))).toEqual(new Set([undefined]));
  });

  it('reads the token that hf auth login stored', async () => {
    const path = join(cacheDir, 'token');
    writeFileSync(path, 'hf_right\n');
    vi.stubEnv('HF_TOKEN_PATH', path);
    expect((await fetchFromHub('hf:lab/private', quick)).downloaded).toBe(true);
  });

  it('takes the endpoint from HF_ENDPOINT, with or without a slash at its end', async () => {
    vi.stubEnv('HF_ENDPOINT', `${server.endpoint}/`);
    const rest = { ...quick, endpoint: undefined };
    expect((await fetchFromHub('hf:lab/vim', rest)).downloaded).toBe(true);
  });

  it.each([
    [
      'hf:lab/private',
      undefined,
      /the hub answered 401: there is no such repository, or it is private.*set HF_TOKEN/,
    ],
    ['hf:lab/private', 'hf_wrong', /401: the token in HF_TOKEN may not read it/],
    ['hf:lab/nothing', undefined, /401: there is no such repository/],
    ['hf:lab/nothing', 'hf_right', /404: no such repository, or no revision 'main'/],
    ['hf:lab/vim@v9', undefined, /no revision 'v9' in it/],
    ['hf:lab/gated', 'hf_right', /403: access is restricted. Accept the conditions at http/],
  ])('%s with the token %s: says what to do', async (spec, token, message) => {
    if (token !== undefined) vi.stubEnv('HF_TOKEN', token);
    await expect(fetchFromHub(spec, quick)).rejects.toThrow(HubError);
    await expect(fetchFromHub(spec, quick)).rejects.toThrow(message);
  });

  it('tells trouble of the hub in its own words, without the addresses that its client asked', async () => {
    server.failWith.push(418);
    const error: unknown = await fetchFromHub('hf:lab/vim', quick).catch((e: unknown) => e);
    expect((error as Error).message).toBe(
      `hf:lab/vim: the hub answered 418 (as the test asked). Look at ${server.endpoint}/lab/vim.`,
    );
  });

  it.each([
    [
      'hf:lab/many',
      /several files of weights \(a\.safetensors, b\.safetensors\).*hf:lab\/many:a\.safetensors/,
    ],
    ['hf:lab/none', /no file of weights among README\.md/],
    [
      'hf:lab/split',
      /\(model\.safetensors\.index\.json\): its weights are split over several files/,
    ],
    [
      'hf:lab/shards',
      /\(model\.safetensors\.index\.json\): its weights are split over several files/,
    ],
    ['hf:lab/vim:model.bin', /has no file 'model\.bin', expected one such as README\.md/],
  ])('%s: is a wrong usage, with the names there are', async (spec, message) => {
    await expect(fetchFromHub(spec, quick)).rejects.toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(message) as string,
    });
  });

  it.each([
    'hf:vim',
    'hf:',
    'hf:a/b/c',
    'hf:a/..',
    'hf:a/b@',
    'hf:a/b:../x',
    'hf:a/b:/etc/x',
    'hf:a/b@x..y',
  ])('refuses the form %s', async (spec) => {
    await expect(fetchFromHub(spec, quick)).rejects.toThrow(/expected hf:owner\/name/);
    expect(server.seen).toEqual([]);
  });

  it('refuses an endpoint and a token that cannot be right', async () => {
    await expect(fetchFromHub('hf:lab/vim', { ...quick, endpoint: 'mirror' })).rejects.toThrow(
      "fetchFromHub: endpoint: got 'mirror', expected a URL",
    );
    await expect(fetchFromHub('hf:lab/vim', { ...quick, token: 'abc' })).rejects.toThrow(
      "does not begin with 'hf_'",
    );
  });
});

describe('without a network', () => {
  it('uses the version last seen, and says so', async () => {
    const { path } = await fetchFromHub('hf:lab/vim', quick);
    const nowhere = goneEndpoint();
    const found = await fetchFromHub('hf:lab/vim', quick);
    expect(found).toMatchObject({ path, downloaded: false });
    expect(notes).toEqual([
      `Cannot reach ${nowhere}: using model.safetensors of lab/vim as it was last seen (commit 11111111).`,
    ]);
  });

  it('says what to do if the cache has nothing', async () => {
    goneEndpoint();
    await expect(fetchFromHub('hf:lab/vim', quick)).rejects.toThrow(
      /cannot reach http:\/\/127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\), and the cache has no copy\. Set HF_ENDPOINT to a mirror, or download/,
    );
  });

  it('asks nobody under HF_HUB_OFFLINE', async () => {
    await fetchFromHub('hf:lab/vim', quick);
    const { length } = server.seen;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await fetchFromHub('hf:lab/vim', quick)).toMatchObject({ downloaded: false });
    await expect(fetchFromHub('hf:lab/small', quick)).rejects.toThrow(
      /HF_HUB_OFFLINE is set, and the cache .* has no copy/,
    );
    expect(server.seen.length).toBe(length);
  });
});
