import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError } from '../errors.js';
import { digestFile, openRegularFile, readRegularFile, readTextFile, updateHash } from './read.js';

const folder = mkdtempSync(join(tmpdir(), 'read-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('readTextFile', () => {
  it('reads UTF-8 and UTF-16 without the mark in front, and no mark within', () => {
    const text = 'caf\u00e9\ufeff\u{1f600}\r\n';
    const path = join(folder, 'text');
    for (const bytes of [
      Buffer.from(text),
      Buffer.from(`\ufeff${text}`),
      Buffer.from(`\ufeff${text}`, 'utf16le'),
      Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
    ]) {
      writeFileSync(path, bytes);
      expect(readTextFile(path)).toBe(text);
    }
    writeFileSync(path, Buffer.from('feff00410042ff', 'hex'));
    expect(readTextFile(path)).toBe('AB');
    writeFileSync(path, '');
    expect(readTextFile(path)).toBe('');
  });
});

const readers: [string, (path: string) => unknown][] = [
  ['openRegularFile', (path) => openRegularFile(path, path)],
  ['readRegularFile', (path) => readRegularFile(path)],
  ['readTextFile', (path) => readTextFile(path)],
  ['digestFile', (path) => digestFile(path)],
];

describe.each(readers)('%s refuses', (_, read) => {
  it('a named pipe that nobody writes to, also behind a link, without waiting', () => {
    const pipe = join(folder, 'pipe');
    rmSync(pipe, { force: true });
    rmSync(`${pipe}-link`, { force: true });
    execFileSync('mkfifo', [pipe]);
    symlinkSync(pipe, `${pipe}-link`);
    for (const path of [pipe, `${pipe}-link`]) {
      expect(() => read(path)).toThrow(FormatError);
      expect(() => read(path)).toThrow(`${path}: got a named pipe, expected a regular file.`);
    }
  });

  it('a device', () => {
    expect(() => read('/dev/zero')).toThrow('/dev/zero: got a device, expected a regular file.');
  });

  it('a folder', () => {
    expect(() => read(folder)).toThrow(`${folder}: got a folder, expected a regular file.`);
  });

  it('a socket', async () => {
    const path = join(folder, 'socket');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      expect(() => read(path)).toThrow(`${path}: got a socket, expected a regular file.`);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('reading whole files', () => {
  it('gives bytes and text', () => {
    const path = join(folder, 'text');
    writeFileSync(path, 'grüße\n');
    expect(Buffer.from(readRegularFile(path)).toString()).toBe('grüße\n');
    expect(readTextFile(path)).toBe('grüße\n');
  });

  it('refuses a file beyond the limit before it is read', () => {
    const path = join(folder, 'large');
    writeFileSync(path, '');
    // Holes: nothing is on the disk.
    truncateSync(path, 2 ** 40);
    expect(() => readRegularFile(path, { most: 100 })).toThrow(
      `${path}: got ${2 ** 40} bytes, expected at most 100.`,
    );
    expect(() => readTextFile(path)).toThrow(/got \d+ bytes, expected at most \d+/);
  });

  it('digests a file in pieces as one', () => {
    const path = join(folder, 'pieces');
    const bytes = Buffer.alloc(9 * 1024 ** 2 + 5, 'mamba');
    writeFileSync(path, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(digestFile(path)).toEqual({ sha256, bytes: bytes.length });
    const hash = createHash('sha256');
    updateHash(hash, bytes, 1000);
    expect(hash.digest('hex')).toBe(sha256);
  });
});
