// The example of the library that every README shows runs as it is printed there.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createModel, loadModel, saveModel } from 'mamba-prune';
import { afterAll, describe, expect, it, vi } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const readmes = ['README.md', 'README.zh-CN.md', 'packages/mamba-prune/README.md'];
const folder = mkdtempSync(join(tmpdir(), 'mp-readme-'));
// Within the repository, so that vitest leads its imports to the sources; git ignores it.
const code = join(root, '.cache', `readme-example-${process.pid}.ts`);
const before = process.cwd();
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
  rmSync(code, { force: true });
});

const exampleOf = (readme: string): string | undefined =>
  /^```ts\n(.*?)^```/ms.exec(readFileSync(join(root, readme), 'utf8'))?.[1];

describe('the example of the library', () => {
  it('is the same in every README', () => {
    const [first, ...others] = readmes.map(exampleOf);
    expect(first).toContain("from 'mamba-prune'");
    for (const other of others) expect(other).toBe(first);
  });

  it('prunes a model and saves it', async () => {
    process.chdir(folder);
    mkdirSync('runs/dense', { recursive: true });
    const dense = createModel('mamba_nano', { imageSize: 8, channels: 1, numClasses: 2 });
    const info = { classes: ['a', 'b'], mean: [0.5], std: [0.5], history: [] };
    saveModel('runs/dense/model.safetensors', dense, info);
    mkdirSync(join(root, '.cache'), { recursive: true });
    writeFileSync(code, exampleOf('README.md') ?? '');
    const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    await import(pathToFileURL(code).href);
    const { model } = loadModel('pruned.safetensors');
    expect(said.mock.calls).toEqual([[dense.numParameters(), '->', model.numParameters()]]);
    said.mockRestore();
    // 70% of every kind, so less than half of the parameters are left.
    expect(model.numParameters()).toBeLessThan(dense.numParameters() / 2);
  });
});
