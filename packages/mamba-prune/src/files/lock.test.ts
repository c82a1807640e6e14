import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { FileLock, LockedError } from './lock.js';

const folder = eachTestsFolder();

describe('FileLock', () => {
  it('is held until it is released, and says by whom to another who wants it', () => {
    const path = join(folder.path, 'x.lock');
    const lock = FileLock.acquire(path, 'the file x');
    expect(FileLock.isHeld(path)).toBe(true);
    let error: unknown;
    try {
      FileLock.acquire(path, 'the file x');
    } catch (reason) {
      error = reason;
    }
    expect(error).toBeInstanceOf(LockedError);
    expect(error).toMatchObject({ path });
    expect((error as Error).message).toMatch(
      /^the file x: in use by this process itself since .*Z\. Wait for it, stop it, or choose another folder\.$/,
    );
    lock.release();
    expect(FileLock.isHeld(path)).toBe(false);
    expect(existsSync(path)).toBe(false);
  });

  it('is taken from a process that is gone, and not from one of another machine', () => {
    const path = join(folder.path, 'x.lock');
    const mine = FileLock.acquire(path, 'x');
    const holder = JSON.parse(readFileSync(path, 'utf8')) as object;
    mine.release();
    // A process id that Linux gives to none: the largest is 2^22.
    writeFileSync(path, JSON.stringify({ ...holder, pid: 2 ** 22 + 1 }));
    FileLock.acquire(path, 'x').release();
    writeFileSync(path, JSON.stringify({ ...holder, host: 'elsewhere', since: 'noon' }));
    expect(() => FileLock.acquire(path, 'x')).toThrow(
      `on the machine elsewhere since noon. If that process is gone, delete ${path}.`,
    );
  });
});
