import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemReason } from '@mamba-prune/libtorch/files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolder } from './folder.js';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'folder-'))));
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const failure = (path: string): { code: unknown; reason: string } => {
  try {
    makeFolder(path);
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code, reason: systemReason(error) };
  }
  return { code: undefined, reason: 'it was made' };
};

describe('makeFolder', () => {
  it('makes a folder and those above it, and is content with one that is there', () => {
    const path = join(folder, 'a', 'b', 'c');
    makeFolder(path);
    makeFolder(path);
    expect(statSync(path).isDirectory()).toBe(true);
  });

  it('follows a link to a folder', () => {
    symlinkSync(folder, join(folder, 'link'));
    makeFolder(join(folder, 'link', 'x'));
    expect(existsSync(join(folder, 'x'))).toBe(true);
  });

  it.runIf(existsSync('/proc/self'))('ends below /proc, which takes no folders', () => {
    for (const path of ['/proc/nothing/x', '/proc/self/x/y']) {
      const { code, reason } = failure(path);
      expect(code).toBeUndefined();
      expect(reason).toMatch(/^the file system makes no folders there \(ENOENT\): \/proc\//);
    }
  });

  it('names a link to nothing', () => {
    const link = join(folder, 'link');
    symlinkSync(join(folder, 'no', 'where'), link);
    for (const path of [link, join(link, 'x')]) {
      expect(failure(path)).toEqual({
        code: undefined,
        reason: `it is a symbolic link to nothing (EEXIST): ${link}. Choose another folder.`,
      });
    }
  });

  it('says why there can be no folder', () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('loop', join(folder, 'loop'));
    expect(spawnSync('mkfifo', [join(folder, 'pipe')]).status).toBe(0);
    expect(failure(join(folder, 'file')).code).toBe('EEXIST');
    expect(failure(join(folder, 'file', 'x')).code).toBe('ENOTDIR');
    expect(failure(join(folder, 'pipe', 'x', 'y')).code).toBe('ENOTDIR');
    expect(failure(join(folder, 'a'.repeat(300))).reason).toMatch(/the name is too long/);
    expect(failure(join(folder, 'new', 'a'.repeat(300))).reason).toMatch(/the name is too long/);
    expect(existsSync(join(folder, 'new'))).toBe(false);
    expect(failure(join(folder, 'loop', 'x')).reason).toMatch(/go round in a circle/);
  });
});
