// What the downloader promises of any source: the sources here are made of arrays. Those of the data sets and of the hub have
// tests of their own, over connections.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { type Checksum, checksumIn, checksumText, describeChecksum } from './checksum.js';
import {
  type Content,
  type DownloadOptions,
  DownloadError,
  type RemoteFile,
  checkDownload,
  download,
} from './download.js';
import { FileLock } from './lock.js';

/** Bytes that may still be written before the disk is full. */
const disk = vi.hoisted(() => ({ left: Infinity }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const writeSync = (fd: number, bytes: Uint8Array, offset = 0, length = bytes.length): number => {
    if (disk.left < length && disk.left === 0) {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    }
    const fits = Math.min(length, disk.left);
    disk.left -= fits;
    return fs.writeSync(fd, bytes, offset, fits);
  };
  return { ...fs, writeSync, default: fs };
});
afterEach(() => {
  disk.left = Infinity;
});

/** The waits that were asked for, which are none here. */
const waits = vi.hoisted((): number[] => []);
vi.mock('node:timers/promises', () => ({
  setTimeout: (milliseconds: number): Promise<void> => {
    waits.push(milliseconds);
    return Promise.resolve();
  },
}));

const folder = eachTestsFolder();
const target = (): string => join(folder.path, 'data.bin');
const content = Buffer.from(Array.from({ length: 10_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const sha256 = (bytes: Uint8Array): Checksum => ({
  kind: 'sha256',
  value: createHash('sha256').update(bytes).digest('hex'),
});

/** What a source does when it is asked for the bytes from one on. */
type Answer = (from: number) => Partial<Content> & { bytes: AsyncIterable<Uint8Array> };

/** A file whose source answers each request as the list says, and the last one from then on. */
function remote(
  facts: Partial<RemoteFile>,
  ...answers: Answer[]
): RemoteFile & { asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    name: 'lab: data.bin',
    label: 'data.bin',
    byHand: 'download it by hand',
    ...facts,
    open: (from) => {
      const answer = answers[Math.min(asked.length, answers.length - 1)];
      asked.push(from);
      return Promise.resolve({ from, total: undefined, ...(answer as Answer)(from) });
    },
  };
}

// eslint-disable-next-line @typescript-eslint/require-await -- the others wait
async function* pieces(bytes: Uint8Array, ...ends: Error[]): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
  for (const error of ends) throw error;
}
const rest: Answer = (from) => ({ bytes: pieces(content.subarray(from)) });
const breakingAt =
  (end: number): Answer =>
  (from) => ({ bytes: pieces(content.subarray(from, end), new Error('reset by peer')) });

const quick = { retries: 2, retryDelayMs: 1 };
const messageOf = async (file: RemoteFile, options: DownloadOptions = quick): Promise<string> => {
  const error: unknown = await download(file, target(), options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DownloadError);
  return (error as Error).message;
};

describe('download', () => {
  it('keeps what came of a source that sends everything again, until that has brought more', async () => {
    const again =
      (end: number): Answer =>
      () => ({
        from: 0,
        bytes: pieces(content.subarray(0, end), new Error('reset by peer')),
      });
    const file = remote({ checksum: sha256(content) }, again(6000), again(3000), () => ({
      from: 0,
      bytes: pieces(content),
    }));
    const received: number[] = [];
    await download(file, target(), {
      ...quick,
      onProgress: (progress) => received.push(progress.received),
    });
    expect(file.asked).toEqual([0, 6000, 6000]);
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(received).toEqual(received.toSorted((a, b) => a - b));
  });

  it('asks for nothing where all is there, and replaces what is not as expected', async () => {
    const facts = { size: content.length, checksum: sha256(content) };
    writeFileSync(target(), content);
    const whole = remote(facts, rest);
    await download(whole, target(), quick);
    expect(whole.asked).toEqual([]);
    for (const other of [content.subarray(1), Buffer.from(content).fill(0, 5, 6)]) {
      writeFileSync(target(), other);
      const notes: string[] = [];
      await download(remote(facts, rest), target(), {
        ...quick,
        onNote: (note) => notes.push(note),
      });
      expect(notes).toEqual([`${target()} is not as expected; downloaded again.`]);
      expect(readFileSync(target()).equals(content)).toBe(true);
    }
  });

  it('makes an empty file without asking for its bytes', async () => {
    const file = remote({ size: 0, checksum: sha256(Buffer.alloc(0)) }, rest);
    await download(file, target(), quick);
    expect(file.asked).toEqual([]);
    expect(readFileSync(target())).toHaveLength(0);
  });

  it('goes on later from a part of the same version', async () => {
    const facts = { size: content.length, version: '"one"' };
    expect(await messageOf(remote(facts, breakingAt(4000)), { ...quick, retries: 0 })).toBe(
      'lab: data.bin broke off after 4000 of 10000 bytes with no success in 1 attempt (reset by peer). Is there a network? ' +
        'The same command goes on from there later, or download it by hand.',
    );
    expect(readdirSync(folder.path)).toEqual([
      expect.stringMatching(/^data\.bin\.[0-9a-f]{8}\.part$/),
    ]);
    const same = remote(facts, rest);
    await download(same, target(), quick);
    expect(same.asked).toEqual([4000]);
    expect(readdirSync(folder.path)).toEqual(['data.bin']);
  });

  it('deletes what came of other versions when one is whole, and nothing that only looks like it', async () => {
    const facts = { size: content.length };
    for (const version of ['"one"', '"two"']) {
      await messageOf(remote({ ...facts, version }, breakingAt(4000)), { ...quick, retries: 0 });
    }
    for (const name of ['data.bin.old.part', 'data.binary.01234567.part']) {
      writeFileSync(join(folder.path, name), '');
    }
    expect(readdirSync(folder.path)).toHaveLength(4);
    const newer = remote({ ...facts, version: '"three"' }, rest);
    await download(newer, target(), quick);
    expect(newer.asked).toEqual([0]);
    expect(readdirSync(folder.path).sort()).toEqual([
      'data.bin',
      'data.bin.old.part',
      'data.binary.01234567.part',
    ]);
  });

  it('begins anew where nothing tells contents apart but the size', async () => {
    const file = remote({ size: content.length }, breakingAt(4000), rest);
    await download(file, target(), quick);
    expect(file.asked).toEqual([0, 0]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('writes no more than the file has, and begins anew where more comes', async () => {
    const tooMuch: Answer = (from) => ({
      bytes: pieces(Buffer.concat([content.subarray(from), content])),
    });
    const facts = { size: content.length, checksum: sha256(content) };
    const file = remote(facts, tooMuch, rest);
    const notes: string[] = [];
    await download(file, target(), { ...quick, onNote: (note) => notes.push(note) });
    expect(file.asked).toEqual([0, 0]);
    expect(notes).toEqual([
      'data.bin: more came than the 10000 bytes that the file has; trying again after 0 bytes.',
    ]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('refuses a source that has another size than was said', async () => {
    const file = remote({ size: 20_000 }, (from) => ({
      total: content.length,
      bytes: pieces(content.subarray(from)),
    }));
    expect(await messageOf(file)).toBe(
      'lab: data.bin: got a file of 10000 bytes, expected 20000 as was said before. Try again later.',
    );
    expect(file.asked).toEqual([0]);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('ends at once on a full disk, and goes on from what fitted', async () => {
    const facts = { size: content.length, checksum: sha256(content) };
    const file = remote(facts, rest);
    disk.left = 2500;
    expect(await messageOf(file)).toBe(
      `${target()}.part cannot be written: the disk is full (ENOSPC). Free some space.`,
    );
    expect(file.asked).toEqual([0]);
    disk.left = Infinity;
    await download(file, target(), quick);
    expect(file.asked).toEqual([0, 2500]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('says what stands where the file or its part belongs', async () => {
    const file = remote({ checksum: sha256(content) }, rest);
    mkdirSync(`${target()}.part`);
    expect(await messageOf(file)).toBe(`${target()}.part is no regular file. Delete it.`);
    const blocked = join(folder.path, 'blocked');
    writeFileSync(blocked, '');
    await expect(download(file, join(blocked, 'sub', 'x'), quick)).rejects.toThrow(
      `${join(blocked, 'sub', 'x')} cannot be written: a part of the path is a file (ENOTDIR)`,
    );
    mkdirSync(target());
    expect(await messageOf(file)).toBe(`${target()} is no regular file. Delete it.`);
    expect(file.asked).toEqual([]);
  });

  it('takes a source that has gone silent for broken, whether that hears its signal or not', async () => {
    const silent: Answer = (from) => ({
      bytes: (async function* () {
        yield content.subarray(from, from + 1000);
        await new Promise(() => undefined);
      })(),
    });
    const file = remote({ checksum: sha256(content) }, silent, silent, rest);
    const notes: string[] = [];
    await download(file, target(), { ...quick, stallMs: 50, onNote: (note) => notes.push(note) });
    expect(file.asked).toEqual([0, 1000, 2000]);
    expect(notes[0]).toBe('data.bin: nothing received for 50 ms; trying again after 1000 bytes.');
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('does not count the time that the disk or the caller takes as silence', async () => {
    const slow: Answer = (from) => ({
      bytes: (async function* () {
        for await (const piece of pieces(content.subarray(from, from + 2000))) {
          // As of a connection: what comes does so in a turn of its own.
          await new Promise(setImmediate);
          yield piece;
        }
        yield content.subarray(from + 2000);
      })(),
    });
    const notes: string[] = [];
    await download(remote({ checksum: sha256(content) }, slow), target(), {
      ...quick,
      stallMs: 30,
      onNote: (note) => notes.push(note),
      onProgress: () => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      },
    });
    expect(notes).toEqual([]);
  });

  it('stops while nothing comes, with the reason that it was given', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const file = remote({ checksum: sha256(content) }, rest);
    file.open = () => new Promise(() => undefined);
    const call = download(file, target(), { ...quick, signal: stop.signal });
    await new Promise(setImmediate);
    stop.abort(reason);
    await expect(call).rejects.toMatchObject({
      message:
        'lab: data.bin was stopped (enough) after 0 bytes. The same command continues there.',
      cause: reason,
    });
    expect(existsSync(`${target()}.lock`)).toBe(false);
  });

  it('waits longer after every attempt that brings nothing, and shortly again after one that brings something', async () => {
    const nothing = breakingAt(0);
    const file = remote(
      { checksum: sha256(content) },
      nothing,
      nothing,
      nothing,
      breakingAt(4000),
      nothing,
      rest,
    );
    waits.length = 0;
    await download(file, target(), { retries: 3, retryDelayMs: 100 });
    expect(waits).toEqual([100, 200, 400, 100, 200]);
    waits.length = 0;
    const none = remote({ checksum: sha256(content) }, nothing);
    await download(none, join(folder.path, 'other'), { retries: 2, retryDelayMs: 20_000 }).catch(
      () => undefined,
    );
    expect(waits).toEqual([20_000, 30_000]);
  });

  it('ends with what onProgress throws, and asks no second time', async () => {
    const facts = { checksum: sha256(content) };
    const file = remote(facts, rest);
    const own = new Error('no more of this');
    const notes: string[] = [];
    const failing = download(file, target(), {
      ...quick,
      onNote: (note) => notes.push(note),
      onProgress: ({ received }) => {
        if (received >= 3000) throw own;
      },
    });
    await expect(failing).rejects.toBe(own);
    expect(file.asked).toEqual([0]);
    expect(notes).toEqual([]);
    expect(readdirSync(folder.path)).toEqual(['data.bin.part']);
    await download(file, target(), quick);
    expect(file.asked).toEqual([0, 3000]);
  });

  it('ends with what onNote throws while it waits for another process', async () => {
    const lock = FileLock.acquire(`${target()}.lock`, target());
    const own = new Error('no notes');
    const failing = download(remote({ checksum: sha256(content) }, rest), target(), {
      ...quick,
      onNote: () => {
        throw own;
      },
    });
    await expect(failing).rejects.toBe(own);
    lock.release();
  });

  it('leaves the errors that its source calls final as they are', async () => {
    const no = new RangeError('not today');
    const file = {
      ...remote({ checksum: sha256(content) }, () => ({ bytes: pieces(Buffer.alloc(0), no) })),
      isFinal: (error: unknown) => error === no,
    };
    await expect(download(file, target(), quick)).rejects.toBe(no);
    expect(file.asked).toEqual([0]);
  });
});

describe('checksums', () => {
  it('are read and written as they are published', () => {
    const npm = `sha512-${createHash('sha512').update('x').digest('base64')}`;
    expect(checksumText(checksumIn(npm))).toBe(npm);
    expect(describeChecksum(checksumIn(npm))).toBe(npm);
    const md5 = '9dd4e461268c8034f5c8564e155c67a6';
    expect(checksumIn(md5)).toEqual({ kind: 'md5', value: md5 });
    expect(describeChecksum({ kind: 'git', value: '01' })).toBe("git's sha1 01");
  });
});

describe('checkDownload', () => {
  it.each([
    [{ retries: -1 }, 'x: retries: got -1, expected an integer of at least 0.'],
    [{ retryDelayMs: NaN }, 'x: retryDelayMs: got NaN, expected a number of at least 0.'],
    [{ stallMs: 0 }, 'x: stallMs: got 0, expected an integer'],
    [{ stallMs: 1e12 }, 'x: stallMs: got 1000000000000, expected an integer'],
  ])('refuses %j', (options, words) => {
    expect(() => {
      checkDownload('x', options);
    }).toThrow(words);
  });
});
