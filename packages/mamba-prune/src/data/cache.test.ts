import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultCacheDir, readCache, writeCache } from './cache.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-cache-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('cache files', () => {
  it('come back as written and leave no temporary file', () => {
    const path = join(dir, 'deep', 'a.bin');
    writeCache(path, { hello: 'Grüße' }, [Uint8Array.of(1, 2), Uint8Array.of(3)]);
    const read = readCache(path);
    expect(read.state === 'ok' && read.content.header).toEqual({ hello: 'Grüße' });
    expect(read.state === 'ok' && [...read.content.payload]).toEqual([1, 2, 3]);
    expect(readdirSync(join(dir, 'deep'))).toEqual(['a.bin']);
  });

  it('are missing, not corrupt, if they are not there', () => {
    expect(readCache(join(dir, 'none'))).toEqual({ state: 'missing' });
  });

  it('are corrupt after any single changed or lost byte', () => {
    const path = join(dir, 'a.bin');
    writeCache(path, { a: 1 }, [Uint8Array.of(1, 2, 3)]);
    const good = readFileSync(path);
    for (let i = 0; i < good.length; i++) {
      const bad = Buffer.from(good);
      bad[i] = (bad[i] as number) ^ 1;
      writeFileSync(path, bad);
      expect(readCache(path).state, `byte ${i}`).toBe('corrupt');
    }
    for (const length of [0, 7, 43, good.length - 1]) {
      writeFileSync(path, good.subarray(0, length));
      expect(readCache(path).state, `${length} bytes`).toBe('corrupt');
    }
    expect(readCache(dir)).toMatchObject({ state: 'corrupt' }); // a folder
  });
});

describe('defaultCacheDir', () => {
  it('follows XDG_CACHE_HOME and falls back to ~/.cache', () => {
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/x' })).toBe(join('/x', 'mamba-prune'));
    expect(defaultCacheDir({ XDG_CACHE_HOME: '' })).toMatch(/\.cache.mamba-prune$/);
    expect(defaultCacheDir({})).toMatch(/\.cache.mamba-prune$/);
  });
});
