// Published weights by name, of a family of the test's own: on the hub, and at an address of a release.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../errors.js';
import { registerFamily } from '../models/families.js';
import { publishedOf, publishedWeights } from '../models/published.js';
import type { PublishedWeights } from '../models/published-weights.js';
import { ownFamily } from '../models/testing/own-family.js';
import { HubError } from './errors.js';
import { cachedPublished, downloadAddress, fetchPublished } from './fetch-published.js';
import type { BegunFile, HubOptions } from './fetch.js';
import { originOf, originText } from './origin.js';
import { publishedAt } from './published-at.js';
import { HubServer } from './testing/hub-server.js';
import { ReleaseServer } from './testing/release-server.js';

const weights = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
const path = '/lab/own/releases/download/%23v2/own_epoch_3.pth';
let release: ReleaseServer;
let hub: HubServer;
let cacheDir: string;
let begun: BegunFile[];
let quick: HubOptions;

const entry = (name: string, more: Partial<PublishedWeights>): PublishedWeights => ({
  name,
  arch: 'published_small',
  address: 'hf:lab/own:own_76p1.pth',
  dataset: 'imagenet',
  classes: 1000,
  accuracy: 0.761,
  imageSize: 224,
  license: 'mit',
  source: 'https://example.org/own',
  ...more,
});

beforeAll(async () => {
  release = await ReleaseServer.start();
  registerFamily(
    ownFamily('published', {
      published: [
        entry('published_small', {}),
        entry('published_small_tuned', { address: 'hf:lab/own:own_ft_78p3.pth' }),
        entry('published_large', {
          arch: 'published_large',
          address: `${release.origin}${path}`,
        }),
      ],
    }),
  );
});
beforeEach(async () => {
  for (const name of ['HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HOME']) vi.stubEnv(name, '');
  hub = await HubServer.start({
    'lab/own': {
      refs: { main: 'c'.repeat(40) },
      files: { 'own_76p1.pth': weights, 'own_ft_78p3.pth': Buffer.from('tuned') },
      lfs: ['own_76p1.pth'],
    },
  });
  cacheDir = mkdtempSync(join(tmpdir(), 'mp-published-'));
  vi.stubEnv('HF_HUB_CACHE', cacheDir);
  vi.stubEnv('HF_TOKEN_PATH', join(cacheDir, 'no-token'));
  begun = [];
  quick = {
    endpoint: hub.endpoint,
    retries: 1,
    retryDelayMs: 1,
    onBegin: (file) => begun.push(file),
  };
  release.files.set(path, weights);
  release.ranges.length = 0;
  release.md5 = 'none';
  release.breakAfter = undefined;
  release.knowsRanges = true;
});
afterEach(() => {
  hub.stop();
  vi.unstubAllEnvs();
  rmSync(cacheDir, { recursive: true, force: true });
});
afterAll(() => {
  release.stop();
});

const messageOf = async (name: string, options = quick): Promise<string> => {
  const error: unknown = await fetchPublished(name, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(HubError);
  return (error as Error).message;
};

describe('published weights on the hub', () => {
  it('are the file that is named among several, fetched once, with its size told before', async () => {
    const first = await fetchPublished('published_small', quick);
    expect(readFileSync(first.path).equals(weights)).toBe(true);
    expect(first).toMatchObject({ downloaded: true, weights: { arch: 'published_small' } });
    expect(begun).toEqual([{ file: 'own_76p1.pth', bytes: weights.length }]);
    expect(publishedAt(first.path)?.name).toBe('published_small');
    expect(cachedPublished(first.weights)).toBe(first.path);
    const again = await fetchPublished('pretrained:published_small', quick);
    expect(again).toMatchObject({ path: first.path, downloaded: false });
    expect(begun).toHaveLength(1);
    const other = await fetchPublished('published_small_tuned', quick);
    expect(readFileSync(other.path, 'utf8')).toBe('tuned');
    expect(publishedAt(other.path)?.name).toBe('published_small_tuned');
  });

  it('are refused where the cache is a file, from the hub and from an address', async () => {
    const file = join(cacheDir, 'file');
    writeFileSync(file, '');
    vi.stubEnv('HF_HUB_CACHE', file);
    for (const name of ['published_small', 'published_large']) {
      const call = fetchPublished(name, quick);
      await expect(call).rejects.toThrow(UsageError);
      await expect(call).rejects.toThrow(
        `the cache of downloads: got ${file}, which is a file, expected a folder. Set HF_HUB_CACHE to another path, or unset it.`,
      );
    }
    await expect(fetchPublished('published_small', { ...quick, cacheDir: file })).rejects.toThrow(
      'Give another cacheDir.',
    );
  });

  it('say where to download them by hand where there is no network', async () => {
    hub.stop();
    const endpoint = 'http://127.0.0.1:2';
    expect(await messageOf('published_small', { ...quick, endpoint })).toMatch(
      new RegExp(
        `^pretrained:published_small: hf:lab/own:own_76p1\\.pth: cannot reach ${endpoint} \\(.*\\), and the cache has no copy\\. ` +
          `Download ${endpoint}/lab/own/resolve/main/own_76p1\\.pth on a machine where that can be had, and give the path of the ` +
          'file in place of pretrained:published_small\\.$',
      ),
    );
    expect(await messageOf('published_small', { ...quick, offline: true })).toMatch(
      /HF_HUB_OFFLINE is set, and the cache .* has no copy\. Download http/,
    );
  });

  it('that there are not are wrong usage, with those that there are', async () => {
    await expect(fetchPublished('published_huge', quick)).rejects.toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(
        /got 'pretrained:published_huge', expected one of .*pretrained:published_small, /,
      ) as string,
    });
  });
});

describe('published weights at an address', () => {
  const file = (): string => join(dirname(decodedPath()), 'own_epoch_3.pth');
  const decodedPath = (): string =>
    join(
      cacheDir,
      `http--${release.origin.slice(7).replace(':', '+')}`,
      ...path.split('/').slice(1),
    );

  it('come into the cache of the hub, under a path that tells the address', async () => {
    release.md5 = 'right';
    const found = await fetchPublished('published_large', quick);
    expect(found.path).toBe(file());
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    expect(begun).toEqual([{ file: 'own_epoch_3.pth', bytes: weights.length }]);
    const origin = originOf(found.path);
    expect(origin && originText(origin)).toBe(`${release.origin}${path}`);
    expect(publishedAt(found.path)?.name).toBe('published_large');
    const asked = release.ranges.length;
    expect((await fetchPublished('published_large', quick)).downloaded).toBe(false);
    expect((await fetchPublished('published_large', { ...quick, offline: true })).downloaded).toBe(
      false,
    );
    expect(release.ranges).toHaveLength(asked);
  });

  it('go on where the connection broke off', async () => {
    release.breakAfter = 50_000;
    const notes: string[] = [];
    const { path: found } = await fetchPublished('published_large', {
      ...quick,
      retries: 3,
      onNote: (note) => notes.push(note),
    });
    expect(readFileSync(found).equals(weights)).toBe(true);
    expect(release.ranges.slice(0, 2)).toEqual(['bytes=0-0', undefined]);
    // How much of it arrived is the system's to decide.
    expect(release.ranges).toHaveLength(3);
    expect(String(release.ranges[2])).toMatch(/^bytes=[1-9]\d*-$|^undefined$/);
    expect(notes).not.toHaveLength(0);
  });

  it('go on from a server that knows no ranges and sends all of the file again', async () => {
    release.knowsRanges = false;
    release.breakAfter = 70_000;
    const progress: number[] = [];
    const found = await fetchPublished('published_large', {
      ...quick,
      onProgress: ({ received }) => progress.push(received),
    });
    expect(readFileSync(found.path).equals(weights)).toBe(true);
    // How much of it arrived is the system's to decide.
    expect(release.ranges).toHaveLength(3);
    expect(String(release.ranges[2])).toMatch(/^bytes=[1-9]\d*-$|^undefined$/);
    expect(progress.filter((received, i) => received < (progress[i - 1] ?? 0))).toEqual([]);
  });

  it('are not continued with the bytes of another version of the file', async () => {
    release.breakAfter = 50_000;
    await messageOf('published_large', { ...quick, retries: 0 });
    const newer = Buffer.from(weights).reverse();
    release.files.set(path, newer);
    const { path: found } = await fetchPublished('published_large', quick);
    expect(readFileSync(found).equals(newer)).toBe(true);
  });

  it('are refused with another checksum than the server tells, and nothing is left of them', async () => {
    release.md5 = 'wrong';
    expect(await messageOf('published_large')).toMatch(/got md5 [0-9a-f]{32}, expected/);
    expect(readdirSync(dirname(file()))).toEqual([]);
  });

  it('that are gone, out of reach or asked for offline say the address and what to do', async () => {
    const words = `Download ${release.origin}${path} on a machine where that can be had`;
    expect(await messageOf('published_large', { ...quick, offline: true })).toContain(words);
    release.files.clear();
    expect(await messageOf('published_large')).toMatch(/the server answered 404\. Download /);
    const noNetwork: typeof fetch = () =>
      Promise.reject(new TypeError('fetch failed', { cause: new Error('ENOTFOUND') }));
    expect(await messageOf('published_large', { ...quick, fetch: noNetwork })).toMatch(
      /cannot reach 127\.0\.0\.1:\d+ \(ENOTFOUND\), and the cache has no copy\. Download /,
    );
  });
});

describe('the tables of published weights', () => {
  it('have an architecture of its family, a name once, and a file that can be downloaded', () => {
    const all = publishedWeights();
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    for (const each of all) {
      expect(publishedOf(each.arch)?.name, each.name).toBe(each.arch);
      expect(downloadAddress(each, 'https://huggingface.co'), each.name).toMatch(
        /^https?:\/\/\S+\.(?:pth|safetensors)$/,
      );
    }
  });
});
