// The check of imports finds what it is for: a small copy of the rooms, with one wrong import at a time.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ICruiseOptions, type ICruiseResult, cruise } from 'dependency-cruiser';
import extractOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'mp-imports-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const rules = fileURLToPath(new URL('../.dependency-cruiser.js', import.meta.url));
const { ruleSet, exclude, tsPreCompilationDeps } = await extractOptions(rules);
const core = 'packages/mamba-prune/src';

/** The names of the rules that files break, each of which is written with what it imports. */
async function broken(files: Readonly<Record<string, string>>): Promise<string[]> {
  const base = mkdtempSync(join(folder, 'case-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(base, path)), { recursive: true });
    writeFileSync(join(base, path), text);
  }
  const given = { ruleSet, exclude, tsPreCompilationDeps } as ICruiseOptions;
  const { output } = await cruise(['packages'], { ...given, baseDir: base, validate: true });
  const { violations } = (output as ICruiseResult).summary;
  return violations.map(({ rule }) => rule.name);
}

/** One file that imports another by its path from the root. */
const one = (from: string, to: string, what = 'import') => {
  const up = '../'.repeat(from.split('/').length - 1);
  return {
    [from]: `${what} { x } from '${up}${to.replace(/\.ts$/, '.js')}';\nexport const y: typeof x = x;\n`,
    [to]: 'export const x = 1;\n',
  };
};

describe('the check of imports', () => {
  it.each([
    {
      what: 'libtorch from mamba-prune',
      from: 'packages/libtorch/src/tensor.ts',
      to: `${core}/index.ts`,
      rule: 'packages-import-down',
    },
    {
      what: 'mamba-prune from report',
      from: `${core}/errors.ts`,
      to: 'packages/report/src/index.ts',
      rule: 'packages-import-down',
    },
    {
      what: 'a file of another package',
      from: 'packages/report/src/runs.ts',
      to: `${core}/models/modes.ts`,
      rule: 'packages-use-entries',
    },
    {
      what: 'the training from the models',
      from: `${core}/models/modes.ts`,
      to: `${core}/training/ema.ts`,
      rule: 'models-imports-down',
    },
    {
      what: 'the command line from a workflow',
      from: `${core}/workflows/imp.ts`,
      to: `${core}/cli/io.ts`,
      rule: 'workflows-imports-down',
    },
    {
      what: 'a model from the ONNX toolkit',
      from: `${core}/onnx/layers.ts`,
      to: `${core}/models/groups.ts`,
      rule: 'onnx-imports-down',
    },
    {
      what: 'the loop from RSST',
      from: `${core}/pruning/rsst/hooks.ts`,
      to: `${core}/training/trainer.ts`,
      rule: 'pruning-imports-down',
    },
    {
      what: 'a room from the ground',
      from: `${core}/errors.ts`,
      to: `${core}/files/folder.ts`,
      rule: 'ground-imports-no-room',
    },
    {
      what: 'an entry from within',
      from: `${core}/workflows/imp.ts`,
      to: `${core}/index.ts`,
      rule: 'entries-are-for-others',
    },
    {
      what: 'a family from a method',
      from: `${core}/pruning/refill.ts`,
      to: `${core}/models/vit/config.ts`,
      rule: 'a-family-is-a-folder',
    },
    {
      what: 'a family from another',
      from: `${core}/models/vit/model.ts`,
      to: `${core}/models/resnet/model.ts`,
      rule: 'families-are-apart',
    },
    {
      what: 'libtorch from the preparation',
      from: `${core}/preparation/prepare.ts`,
      to: 'packages/libtorch/src/index.ts',
      rule: 'preparation-runs-in-browsers',
    },
    {
      what: 'models from the page',
      from: 'packages/report/page/app.ts',
      to: `${core}/models/index.ts`,
      rule: 'pages-run-in-browsers',
    },
  ])('finds $what', async ({ from, to, rule }) => {
    expect(await broken(one(from, to))).toEqual([rule]);
  });

  it('finds modules of Node.js in the preparation, and files that are not there', async () => {
    const path = `${core}/preparation/prepare.ts`;
    expect(await broken({ [path]: "import 'node:fs';\n" })).toEqual([
      'preparation-runs-in-browsers',
    ]);
    expect(await broken({ [path]: "import './gone.js';\n" })).toEqual(['imports-are-found']);
  });

  it('finds an import of types', async () => {
    const files = one(`${core}/models/modes.ts`, `${core}/training/hooks.ts`, 'import type');
    expect(await broken(files)).toEqual(['models-imports-down']);
  });

  it('finds modules that wait for each other while they are loaded', async () => {
    const [a, b] = [`${core}/data/a.ts`, `${core}/data/b.ts`];
    const uses = (what: string, from: string) =>
      `${what} { x } from './${from}.js';\nexport const y: typeof x = 1;\nexport { y as x };\n`;
    const [values, types] = ['import', 'import type'];
    expect(await broken({ [a]: uses(values, 'b'), [b]: uses(values, 'a') })).toContain(
      'no-circles',
    );
    expect(await broken({ [a]: uses(values, 'b'), [b]: uses(types, 'a') })).toEqual([]);
    const later = "export const x = 1;\nexport const y = () => import('./a.js');\n";
    expect(await broken({ [a]: uses(values, 'b'), [b]: later })).toEqual([]);
  });

  it('lets rooms import what is below', async () => {
    const files = {
      ...one(`${core}/training/ema.ts`, `${core}/models/modes.ts`),
      ...one(`${core}/cli/main.ts`, `${core}/workflows/imp.ts`),
      ...one(`${core}/pruning/rsst/hooks.ts`, `${core}/training/hooks.ts`, 'import type'),
      ...one(`${core}/models/families.ts`, `${core}/models/vit/family.ts`),
      ...one('packages/report/src/runs.ts', `${core}/models/index.ts`),
    };
    expect(await broken(files)).toEqual([]);
  });
});
