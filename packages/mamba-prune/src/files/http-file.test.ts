import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, type Server, createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { checksumIn } from './checksum.js';
import { DownloadError, type RemoteFile, download } from './download.js';
import { describeHttpFile, httpFile } from './http-file.js';

const folder = eachTestsFolder();
const target = (): string => join(folder.path, 'data.bin');
const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const md5 = createHash('md5').update(content).digest('hex');
const quick = { retries: 2, retryDelayMs: 1 };

let server: Server;
let url: string;
let seen: IncomingHttpHeaders[];
/** What the server does, by the number of the request. */
let answer: (headers: IncomingHttpHeaders, response: ServerResponse, call: number) => void;

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    seen.push(request.headers);
    answer(request.headers, response, seen.length - 1);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/data.bin`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const at = (facts: Partial<RemoteFile>): RemoteFile =>
  httpFile(url, { name: url, label: 'data.bin', byHand: 'download it by hand', ...facts });

/** The rest from a byte on, as a server does that knows ranges and If-Range. */
function send(headers: IncomingHttpHeaders, response: ServerResponse, etag: string, of = content) {
  const [, from] = /^bytes=(\d+)-/.exec(headers.range ?? '') ?? [];
  const condition = headers['if-range'];
  if (from === undefined || (condition !== undefined && condition !== etag)) {
    response.writeHead(200, { 'Content-Length': of.length, ETag: etag }).end(of);
    return;
  }
  response.writeHead(206, {
    'Content-Length': of.length - Number(from),
    'Content-Range': `bytes ${from}-${of.length - 1}/${of.length}`,
    ETag: etag,
  });
  response.end(of.subarray(Number(from)));
}

const part = (version: string): string =>
  `${target()}.${createHash('sha256').update(version).digest('hex').slice(0, 8)}.part`;

describe('httpFile', () => {
  it('asks for the rest of the version that it knows, and for bytes as they are', async () => {
    answer = (headers, response) => {
      send(headers, response, '"one"');
    };
    writeFileSync(part('"one"'), content.subarray(0, 2000));
    await download(at({ size: content.length, version: '"one"' }), target(), quick);
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      range: 'bytes=2000-',
      'if-range': '"one"',
      'accept-encoding': 'identity',
    });
  });

  it('asks without If-Range where a tag does not tell bytes apart, or a checksum does', async () => {
    answer = (headers, response) => {
      send(headers, response, 'W/"one"');
    };
    writeFileSync(part('W/"one"'), content.subarray(0, 2000));
    await download(at({ size: content.length, version: 'W/"one"' }), target(), quick);
    expect(seen.at(-1)?.range).toBe('bytes=2000-');
    expect(seen.at(-1)).not.toHaveProperty('if-range');
    writeFileSync(`${target()}2.part`, content.subarray(0, 2000));
    await download(at({ checksum: checksumIn(md5) }), `${target()}2`, quick);
    expect(seen.at(-1)?.range).toBe('bytes=2000-');
    expect(seen.at(-1)).not.toHaveProperty('if-range');
  });

  it('never joins two versions: it asks again, in case the server has several minds', async () => {
    const newer = Buffer.from(content).reverse();
    answer = (headers, response, call) => {
      if (call === 1) send(headers, response, '"one"');
      else send(headers, response, '"two"', newer);
    };
    writeFileSync(part('"one"'), content.subarray(0, 2000));
    const notes: string[] = [];
    await download(at({ size: content.length, version: '"one"' }), target(), {
      ...quick,
      onNote: (note) => notes.push(note),
    });
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(notes).toEqual([
      'data.bin: the server has another version of the file than it said before; trying again after 2000 bytes.',
    ]);
    answer = (headers, response) => {
      send(headers, response, '"two"', newer);
    };
    const other = `${target()}2`;
    await expect(
      download(at({ size: content.length, version: '"one"' }), other, quick),
    ).rejects.toThrow(
      /3 attempts \(the server has another version of the file than it said before\)/,
    );
    expect(readdirSync(folder.path)).not.toContain('data.bin2');
  });

  it('begins anew where its part is longer than the file, whose size only the checksum knows', async () => {
    answer = (headers, response, call) => {
      if (call === 0) response.writeHead(416).end();
      else send(headers, response, '"one"');
    };
    writeFileSync(`${target()}.part`, Buffer.alloc(9000));
    await download(at({ checksum: checksumIn(md5) }), target(), quick);
    expect(seen.map(({ range }) => range)).toEqual(['bytes=9000-', undefined, undefined]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('does not take the length of a packed answer for that of the file', async () => {
    const packed = gzipSync(Buffer.alloc(content.length));
    const plain = createHash('md5').update(Buffer.alloc(content.length)).digest('hex');
    answer = (_headers, response) => {
      response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length });
      response.end(packed);
    };
    const totals = new Set<number | undefined>();
    await download(at({ checksum: checksumIn(plain) }), target(), {
      ...quick,
      onProgress: ({ total }) => totals.add(total),
    });
    expect(totals).toEqual(new Set([undefined]));
    expect(readFileSync(target())).toHaveLength(content.length);
  });

  describe('of a server that calls an archive packed on its way', () => {
    const archive = gzipSync(content);
    const checksum = checksumIn(createHash('md5').update(archive).digest('hex'));
    const labelled =
      (headers: Record<string, string> = {}): typeof answer =>
      (asked, response) => {
        for (const [name, value] of Object.entries({ 'Content-Encoding': 'gzip', ...headers })) {
          response.setHeader(name, value);
        }
        send(asked, response, '"one"', archive);
      };

    it('keeps the archive as it is, and goes on with it where it broke off', async () => {
      url = url.replace('data.bin', 'data.tar.gz');
      answer = labelled();
      const totals = new Set<number | undefined>();
      const onProgress = ({ total }: { total: number | undefined }) => totals.add(total);
      await download(at({ checksum }), target(), { ...quick, onProgress });
      expect(readFileSync(target()).equals(archive)).toBe(true);
      expect(totals).toEqual(new Set([archive.length]));
      writeFileSync(`${target()}2.part`, archive.subarray(0, 20));
      await download(at({ checksum }), `${target()}2`, quick);
      expect(readFileSync(`${target()}2`).equals(archive)).toBe(true);
      expect(seen.at(-1)?.range).toBe('bytes=20-');
    });

    it('keeps it behind a redirect too, and where only its type tells it', async () => {
      const archived = labelled({ 'Content-Type': 'application/x-gzip' });
      answer = (headers, response, call) => {
        if (call === 0) response.writeHead(302, { Location: `${url}?signed=1` }).end();
        else archived(headers, response, call);
      };
      await download(at({ checksum }), target(), quick);
      expect(readFileSync(target()).equals(archive)).toBe(true);
    });

    it('tells its size', async () => {
      url = url.replace('data.bin', 'data.tgz');
      answer = (_headers, response) => {
        response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': archive.length });
        response.end(archive);
      };
      expect(await describeHttpFile(url, { name: url, byHand: 'x' })).toMatchObject({
        size: archive.length,
      });
    });
  });

  it.each([
    [401, 'It is not for everybody: ask its owner, or download it by hand.'],
    [403, 'It is not for everybody, or not for this network: ask its owner, or'],
    [404, 'Has the file moved? Look where it lies now, or download it by hand.'],
    [410, 'The file is gone: look where it lies now, or'],
    [451, 'The law keeps it from this place: look elsewhere, or'],
    [204, 'It is no answer of a server of files: look at the address, or'],
    [416, 'It is no answer of a server of files: look at the address, or'],
  ])('gives up at once on status %i', async (status, words) => {
    answer = (_headers, response) => {
      response.writeHead(status).end();
    };
    const error: unknown = await download(at({ checksum: checksumIn(md5) }), target(), quick).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(DownloadError);
    expect(error).toMatchObject({ status });
    expect((error as Error).message).toContain(
      `${url}: got HTTP status ${status}, expected 200. ${words}`,
    );
    expect(seen).toHaveLength(1);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it.each([408, 425, 429, 500, 503])('tries again after status %i', async (status) => {
    answer = (headers, response, call) => {
      if (call === 0) response.writeHead(status).end();
      else send(headers, response, '"one"');
    };
    const notes: string[] = [];
    await download(at({ checksum: checksumIn(md5) }), target(), {
      ...quick,
      onNote: (note) => notes.push(note),
    });
    expect(notes).toEqual([`data.bin: got HTTP status ${status}; trying again after 0 bytes.`]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('refuses a part that does not begin where it broke off', async () => {
    answer = (_headers, response) => {
      response.writeHead(206, { 'Content-Range': 'bytes 3000-4999/5000' });
      response.end(content.subarray(3000));
    };
    writeFileSync(`${target()}.part`, content.subarray(0, 2000));
    await expect(download(at({ checksum: checksumIn(md5) }), target(), quick)).rejects.toThrow(
      `${url}: asked for bytes from 2000, got Content-Range "bytes 3000-4999/5000". The server does not send where it broke off`,
    );
    expect(readFileSync(`${target()}.part`).equals(content.subarray(0, 2000))).toBe(true);
  });
});

describe('describeHttpFile', () => {
  const describing = () => describeHttpFile(url, { name: url, byHand: 'download it by hand' });

  it('tells what the server says, whether it knows ranges or not', async () => {
    answer = (headers, response, call) => {
      if (call === 0) send(headers, response, '"one"');
      else {
        response.writeHead(200, {
          'Content-Length': content.length,
          'Last-Modified': 'Sun, 01 Nov 2026 00:00:00 GMT',
          'x-ms-blob-content-md5': Buffer.from(md5, 'hex').toString('base64'),
        });
        response.end(content);
      }
    };
    expect(await describing()).toEqual({
      size: content.length,
      version: '"one"',
      checksum: undefined,
    });
    expect(await describing()).toEqual({
      size: content.length,
      version: 'Sun, 01 Nov 2026 00:00:00 GMT',
      checksum: { kind: 'md5', value: md5 },
    });
  });

  it('ends where the server never answers', async () => {
    answer = () => undefined;
    const facts = { name: url, byHand: 'download it by hand' };
    await expect(describeHttpFile(url, facts, { stallMs: 50 })).rejects.toMatchObject({
      cause: { message: 'nothing received for 50 ms' },
    });
  });

  it('refuses a server that does not say the size, or is in trouble', async () => {
    answer = (_headers, response, call) => {
      response.writeHead(call === 0 ? 200 : 503, { 'Transfer-Encoding': 'chunked' }).end('x');
    };
    await expect(describing()).rejects.toThrow(
      /does not say how large the file is, so that nobody could tell whether all of it came: download it by hand\./,
    );
    await expect(describing()).rejects.toThrow(`${url}: got HTTP status 503. Try again later.`);
  });
});
