// Tests leave nothing in the folder for caches of whoever runs them (support/cache-home.ts).
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { defaultCacheDir } from 'mamba-prune/data';
import useTemporaryCache from './support/cache-home.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the folder for caches', () => {
  it('is one of the run and not of the user, in the tests and in what they start', () => {
    const folder = process.env['XDG_CACHE_HOME'] ?? '';
    expect(existsSync(folder)).toBe(true);
    expect(relative(folder, defaultCacheDir())).toBe('mamba-prune');
    // A checkout, and with it a folder that is given, may lie in the home folder.
    expect(relative(join(homedir(), '.cache'), folder)).toMatch(/^\.\./);
    const print = 'process.stdout.write(process.env.XDG_CACHE_HOME)';
    expect(execFileSync(process.execPath, ['-e', print], { encoding: 'utf8' })).toBe(folder);
  });

  it('is a temporary one where TEST_CACHE_HOME is empty', () => {
    vi.stubEnv('XDG_CACHE_HOME', undefined);
    vi.stubEnv('TEST_CACHE_HOME', '');
    const remove = useTemporaryCache();
    const { XDG_CACHE_HOME: folder = '' } = process.env;
    expect(isAbsolute(folder) && existsSync(folder)).toBe(true);
    remove();
    expect(existsSync(folder)).toBe(false);
  });

  it('is the same to processes in other folders where TEST_CACHE_HOME is relative', () => {
    vi.stubEnv('XDG_CACHE_HOME', undefined);
    vi.stubEnv('TEST_CACHE_HOME', 'caches');
    useTemporaryCache();
    expect(process.env['XDG_CACHE_HOME']).toBe(resolve('caches'));
  });
});
