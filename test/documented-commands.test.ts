// Commands that the pages show: the command line knows each of their flags, under the names that its help gives.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { boxedModels } from 'mamba-prune/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// Its page gives commands with the flags of its family.
import '../examples/new-architecture/src/index.js';
import { runCli } from '../packages/mamba-prune/src/cli/testing/run-cli.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const tracked = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' });
// What was changed in an earlier version stands in the changelog under the names that it had then.
const pages = tracked.split('\n').filter((name) => name !== '' && name !== 'CHANGELOG.md');

interface Shown {
  readonly page: string;
  readonly command: string;
  readonly flags: readonly string[];
}

/** Lines of code and code within sentences; a line that ends with a backslash goes on. */
function codeOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8').replaceAll(/\\\n\s*/g, ' ');
  const lines = [...text.matchAll(/^ {4}(.+)$/gm)];
  const spans = [...text.matchAll(/`([^`\n]+)`/g)];
  return [...lines, ...spans].map(([, code = '']) => code);
}

function shownOn(page: string, commands: readonly string[]): Shown[] {
  const start = new RegExp(
    `(?:^|mamba-prune )(${commands.join('|')})(?: (get|list|verify))?\\b(.*)$`,
  );
  return codeOf(page).flatMap((code) => {
    const [, name = '', part, rest = ''] = start.exec(code) ?? [];
    const flags = [...rest.matchAll(/(?<=\s)--[a-z_][\w-]*/g)].map(([flag]) => flag);
    if (name === '' || flags.length === 0) return [];
    return [{ page, command: part === undefined ? name : `${name} ${part}`, flags }];
  });
}

describe('commands on the pages', () => {
  const help = new Map<string, string>();
  let shown: Shown[];
  let commands: string[];

  beforeAll(async () => {
    const { stdout } = await runCli(['--help']);
    const list = stdout.slice(stdout.indexOf('Commands:'), stdout.indexOf('Examples:'));
    commands = [...list.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name = '']) => name);
    shown = pages.flatMap((page) => shownOn(page, commands));
    for (const command of new Set(shown.map((one) => one.command))) {
      const { stdout: text } = await runCli([...command.split(' '), '--help']);
      // Without its examples, which are not a list of flags.
      help.set(command, text.split('\nExamples:')[0] ?? '');
    }
  });

  it('are found', () => {
    expect(shown.filter(({ page }) => page === 'README.md').length).toBeGreaterThan(4);
    expect(new Set(shown.map(({ command }) => command)).size).toBeGreaterThan(8);
  });

  it('have no flag that the help does not list', () => {
    const unknown = shown.flatMap(({ page, command, flags }) =>
      flags
        .filter((flag) => !new RegExp(`${flag}(?![\\w-])`).test(help.get(command) ?? ''))
        .map((flag) => `${page}: ${command} ${flag}`),
    );
    expect(unknown).toEqual([]);
  });

  it('and in the examples of the help name models that the package has', async () => {
    const texts = [...pages.flatMap(codeOf)];
    for (const name of commands) texts.push((await runCli([name, '--help'])).stdout);
    const named = texts.flatMap((text) => text.match(/models:[a-z\d-]+\/[\w.-]+/g) ?? []);
    expect(named.length).toBeGreaterThan(8);
    const there = boxedModels().map(({ name }) => `models:${name}`);
    expect([...new Set(named)].filter((name) => !there.includes(name))).toEqual([]);
  });
});

/** Lines of compare with given dense models, with what the lines before them set put in place of `$F` and the like. */
function comparisonsOf(page: string): string[][] {
  const set = new Map<string, string>();
  return readFileSync(join(root, page), 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name, value] = /^ {4}([A-Z])="(.*)"$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) set.set(name, value);
      if (!line.startsWith('    npx mamba-prune compare --dense ')) return [];
      const words = line.replaceAll(/\$([A-Z])\b/g, (_, of: string) => set.get(of) ?? '');
      return [words.trim().split(' ').slice(2)];
    });
}

describe('comparisons on the pages of the results', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mp-documented-'));
  const dense = join(folder, 'dense');
  beforeAll(() => {
    mkdirSync(dense);
    writeFileSync(join(dense, 'config.json'), '{"kind":"mamba-prune run"}');
    writeFileSync(join(dense, 'model.safetensors'), '');
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const comparisons = pages
    .filter((name) => /^docs\/results(?:\.md|\/)/.test(name))
    .flatMap(comparisonsOf);

  it('are found', () => {
    expect(comparisons.length).toBeGreaterThan(2);
  });

  it.each(comparisons)('%s %s %s ... have no flags that change nothing', async (...words) => {
    const said = { SET: 'cifar10', LR: '1e-3', RATE: '0.5', SEED: '1', DIR: join(folder, 'none') };
    const args = words.map((word) => {
      if (/^runs\/dense/.test(word)) return dense;
      if (word.startsWith('runs/')) return join(folder, word);
      return Object.hasOwn(said, word) ? said[word as keyof typeof said] : word;
    });
    const { status, stderr } = await runCli([...args, '--device', 'cpu']);
    // It comes as far as to the images, which are not there.
    expect(stderr).toMatch(/openDataset "cifar100?": found no CIFAR/);
    expect(status).toBe(1);
  });
});
