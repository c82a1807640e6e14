// Commands that the pages show: the command line knows each of their flags, under the names that its help gives.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { boxedModels } from 'mamba-prune/models';
import { beforeAll, describe, expect, it } from 'vitest';
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
