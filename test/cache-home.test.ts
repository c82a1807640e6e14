// Tests leave nothing in the folder for caches of whoever runs them (support/cache-home.ts).
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultCacheDir } from 'mamba-prune/data';

describe('the folder for caches', () => {
  it('is one of the run and not of the user, in the tests and in what they start', () => {
    const folder = process.env['XDG_CACHE_HOME'] ?? '';
    expect(existsSync(folder)).toBe(true);
    expect(relative(folder, defaultCacheDir())).toBe('mamba-prune');
    expect(relative(homedir(), folder)).toMatch(/^\.\./);
    const print = 'process.stdout.write(process.env.XDG_CACHE_HOME)';
    expect(execFileSync(process.execPath, ['-e', print], { encoding: 'utf8' })).toBe(folder);
  });
});
