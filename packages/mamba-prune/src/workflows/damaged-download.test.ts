// A file of the cache of downloads that is damaged: what is said of it.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openModelFile } from './open-model-file.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-damaged-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it.each(['x.pth', 'model.safetensors'])(
  'says that %s lies in the cache, and where',
  async (name) => {
    const repo = join(folder, `models--lab--${name}`);
    const snapshot = join(repo, 'snapshots', 'c'.repeat(40));
    mkdirSync(snapshot, { recursive: true });
    const blob = join(repo, 'blob');
    writeFileSync(blob, 'PK\x03\x04 and no more');
    symlinkSync(blob, join(snapshot, name));
    await expect(openModelFile(join(snapshot, name))).rejects.toThrow(
      `The file lies in the cache of downloads, as ${realpathSync(blob)}. Delete it: then it is downloaded again`,
    );
    const elsewhere = join(folder, name);
    writeFileSync(elsewhere, 'PK\x03\x04 and no more');
    await expect(openModelFile(elsewhere)).rejects.toThrow(/^(?!.*cache of downloads)/);
  },
);
