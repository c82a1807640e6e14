// A data set of one's own in real processes: threads that prepare its batches, and the children of a comparison.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { writeDocumentedModules, writeRecords } from '../data/testing/documented-modules.js';

const built = transpiledMambaPrune();
let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-own-process-'));
  writeRecords(at('records'));
  // The package by its name, as a project that has installed it finds it.
  const installed = at('node_modules', 'mamba-prune');
  mkdirSync(installed, { recursive: true });
  writeFileSync(
    join(installed, 'package.json'),
    '{"type":"module","exports":{"./data":"./data.js"}}',
  );
  const index = pathToFileURL(join(built.src, 'data', 'index.js')).href;
  writeFileSync(join(installed, 'data.js'), `export * from ${JSON.stringify(index)};`);
  writeDocumentedModules(folder, 'mamba-prune/data');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  built.remove();
});

/** Runs a command line in a process that has imported the modules before. */
function run(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  const imported = ['bars.mjs', 'records.mjs'].flatMap((name) => ['--import', `./${name}`]);
  const common = ['--device', 'cpu', '--threads', '1'];
  return spawnSync(
    process.execPath,
    [...imported, join(built.src, 'cli', 'main.js'), ...argv, ...common],
    {
      env: { ...process.env, XDG_CACHE_HOME: at('cache'), FORCE_COLOR: '' },
      cwd: folder,
      encoding: 'utf8',
    },
  );
}

const shape = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--d-state', '2'];

describe("a data set of one's own", () => {
  it.each([
    ['bars', []],
    ['records', ['--data', 'records']],
  ])('of %s gives the same bits with threads that prepare its batches', (name, data) => {
    const hashes = ['0', '2'].map((threads) => {
      const out = `${name}-${threads}`;
      const given = ['--dataset', name, ...data, '--augment', 'strong', '--batch-size', '8'];
      const { status, stderr } = run(
        'train',
        ...shape,
        ...given,
        '--epochs',
        '1',
        '--data-threads',
        threads,
        '--out',
        out,
      );
      expect(stderr).not.toContain('Error');
      expect(status).toBe(0);
      return readFileSync(at(out, 'model.safetensors')).toString('base64');
    });
    expect(hashes[1]).toBe(hashes[0]);
  });

  it('is compared in processes that import its module themselves', () => {
    const { status, stdout, stderr } = run(
      'compare',
      ...shape,
      '--dataset',
      'bars',
      '--batch-size',
      '8',
      '--augment',
      'none',
      '--epochs',
      '1',
      '--finetune-epochs',
      '2',
      '--seeds',
      '1',
      '--rate',
      '0.5',
      '--json',
      '--out',
      'comparison',
    );
    expect(stderr).not.toContain('got data set');
    expect(status).toBe(0);
    const { runs } = JSON.parse(stdout) as { runs: unknown[] };
    expect(runs.length).toBeGreaterThan(1);
  });
});

describe('the list of data sets', () => {
  it('loads neither a decoder of images nor libtorch', () => {
    const module = pathToFileURL(join(built.src, 'data', 'datasets.js')).href;
    const script = `
      const { datasetNames } = await import(${JSON.stringify(module)});
      const { sharedObjects } = process.report.getReport();
      console.log(JSON.stringify({ names: datasetNames(), sharedObjects }));
    `;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const { names, sharedObjects } = JSON.parse(stdout) as Record<string, string[]>;
    expect(names).toContain('folder');
    expect(sharedObjects?.length).toBeGreaterThan(0);
    expect(sharedObjects?.filter((path) => /sharp|vips|torch|mamba/.test(path))).toEqual([]);
  });
});
