// The programs of docs/library.md are those of examples/library, whose types are checked with all others, and run.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createModel, loadModel, saveModel } from 'mamba-prune';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const page = readFileSync(join(root, 'docs/library.md'), 'utf8');
const programs = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code);
const names = ['by-images', 'batches'];
const files = names.map((name) => join(root, 'examples/library', `${name}.ts`));
const folder = mkdtempSync(join(tmpdir(), 'mp-library-page-'));
const before = process.cwd();
const classes = ['ant', 'bee'];

beforeAll(() => {
  mkdirSync(join(folder, 'runs/dense'), { recursive: true });
  process.chdir(folder);
  const dense = createModel('mamba_nano', { imageSize: 8, channels: 1, numClasses: 2 });
  const info = { classes, mean: [0.5], std: [0.5], history: [] };
  saveModel('runs/dense/model.safetensors', dense, info);
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

/** What a program printed. */
async function printed(file: string | undefined): Promise<unknown[][]> {
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  await import(pathToFileURL(file ?? '').href);
  const { calls } = said.mock;
  said.mockRestore();
  return calls;
}

describe('the page of the library', () => {
  it('prints the programs of the examples', () => {
    const withoutFirstLine = (file: string) => readFileSync(file, 'utf8').replace(/^\/\/.*\n/, '');
    expect(programs).toEqual(files.map(withoutFirstLine));
  });

  it('cuts a model by its own images', async () => {
    const accuracies = (await printed(files[0])).flat();
    expect(accuracies).toHaveLength(2);
    for (const accuracy of accuracies) expect(accuracy).toBeGreaterThanOrEqual(0);
    const { model } = loadModel('by-images.safetensors');
    const widths = Object.values(model.config.widths);
    expect(widths.length).toBeGreaterThan(0);
    const dense = Object.values(loadModel('runs/dense/model.safetensors').model.config.widths);
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    expect(sum(widths)).toBe(sum(dense) / 2);
  });

  it('answers for a batch', async () => {
    const [[answers]] = (await printed(files[1])) as [[string[]]];
    expect(answers).toHaveLength(8);
    for (const answer of answers) expect(classes).toContain(answer);
  });
});
