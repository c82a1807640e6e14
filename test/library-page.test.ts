// The programs of docs/library.md are those of examples/library, whose types are checked with all others, and run.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createModel, loadModel, saveModel } from 'mamba-prune';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const page = readFileSync(join(root, 'docs/library.md'), 'utf8');
const programs = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code);
const names = ['by-images', 'batches', 'budget', 'own-loop', 'runs'];
const files = names.map((name) => join(root, 'examples/library', `${name}.ts`));
const folder = mkdtempSync(join(tmpdir(), 'mp-library-page-'));
const before = process.cwd();
const classes = ['ant', 'bee'];

beforeAll(() => {
  mkdirSync(join(folder, 'runs/dense'), { recursive: true });
  for (const [at, name] of ['train/ant', 'train/bee', 'val/ant', 'val/bee'].entries()) {
    mkdirSync(join(folder, 'photos', name), { recursive: true });
    const grey = Buffer.from(Array.from({ length: 64 }, (_, i) => (i * 5 + at * 60) % 256));
    writeFileSync(
      join(folder, 'photos', name, 'a.pgm'),
      Buffer.concat([Buffer.from('P5 8 8 255\n'), grey]),
    );
  }
  process.chdir(folder);
  saveDense(1);
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

/** The run that the programs open. */
function saveDense(channels: 1 | 3): void {
  const dense = createModel('mamba_nano', { imageSize: 8, channels, numClasses: 2 });
  const each = Array.from({ length: channels }, () => 0.5);
  saveModel('runs/dense/model.safetensors', dense, { classes, mean: each, std: each, history: [] });
}

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

  it('cuts to a budget by scores and by losses, and times the results', async () => {
    saveDense(3); // images of a folder are in colour
    const [[rates, targets], ...timed] = (await printed(files[2])) as [
      [Record<string, number>, { limit: number; reached: number }[]],
      ...[string, number, number][],
    ];
    expect(Object.keys(rates)).toEqual(['ssm', 'mlp']);
    expect(targets).toHaveLength(2);
    for (const { limit, reached } of targets) expect(reached).toBeLessThanOrEqual(limit);
    expect(timed.map(([name]) => name)).toEqual(['dense', 'byScore', 'byLoss']);
  });

  it('trains in a loop of its own', async () => {
    const losses = (await printed(files[3])) as [number, number][];
    expect(losses.map(([epoch]) => epoch)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    for (const [, loss] of losses) expect(loss).toBeGreaterThan(0);
    expect(existsSync('trained.safetensors')).toBe(true);
  });

  it('trains and prunes in runs', async () => {
    const lines = await printed(files[4]);
    const phases = lines.map(([phase]) => phase);
    expect(phases.slice(0, 2)).toEqual(['train', 'train']);
    expect(lines).toHaveLength(5);
    expect(lines.at(-1)?.[0]).toBe(true);
    expect(existsSync('runs/insects-half/model.safetensors')).toBe(true);
  });
});
