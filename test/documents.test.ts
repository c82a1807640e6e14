// The pages that readers see: links lead somewhere, and the citation names the version that the packages have.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], { cwd: root, encoding: 'utf8' }).trim().split('\n'); // prettier-ignore

/** Without blocks and spans of code, where brackets are no links. */
const proseOf = (page: string): string =>
  readFileSync(page, 'utf8')
    .replaceAll(/^```.*?^```/gms, '')
    .replaceAll(/^( {4}.*\n)+/gm, '');

/** The anchors that GitHub gives the headings of a page: words in lower case, without punctuation, joined by hyphens. */
function anchorsOf(page: string): Set<string> {
  const headings = [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(/\s/g, '-'),
    ),
  );
}

/** Links to files and headings of this repository that lead nowhere, in words. */
function brokenLinks(name: string): string[] {
  const page = join(root, name);
  const links = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : resolve(dirname(page), path);
      if (!existsSync(target) || relative(root, target).startsWith('..')) return true;
      if (anchor === undefined || statSync(target).isDirectory()) return false;
      return !anchorsOf(target).has(decodeURIComponent(anchor));
    })
    .map((link) => `${name}: ${link}`);
}

describe('the pages', () => {
  it('are all found', () => {
    expect(pages).toEqual(
      expect.arrayContaining(['README.md', 'README.zh-CN.md', 'CONTRIBUTING.md']),
    );
  });

  it('have no link that leads nowhere', () => {
    expect(pages.flatMap(brokenLinks)).toEqual([]);
  });

  // Under a list four spaces are those of its items, and Prettier makes two of them: the command becomes prose.
  it('have no command that is a line of prose', () => {
    const commands = pages.flatMap((name) =>
      [...proseOf(join(root, name)).matchAll(/^ {1,3}(?:node|npx|npm|mamba-prune) .*$/gm)].map(
        ([line]) => `${name}: ${line}`,
      ),
    );
    expect(commands).toEqual([]);
  });

  it('are listed in the README, as far as they are guides', () => {
    const guides = pages.filter((name) => /^docs\/[^/.]+\.md$/.test(name));
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    expect(guides.filter((name) => !readme.includes(`](${name})`))).toEqual([]);
  });
});

describe('CITATION.cff', () => {
  it('names the version of the packages', () => {
    const citation = readFileSync(join(root, 'CITATION.cff'), 'utf8');
    const [, version] = /^version: (.+)$/m.exec(citation) ?? [];
    const packages = [
      '.',
      'packages/libtorch',
      'packages/mamba-prune',
      'packages/models',
      'packages/report',
    ];
    for (const folder of packages) {
      const manifest: unknown = JSON.parse(
        readFileSync(join(root, folder, 'package.json'), 'utf8'),
      );
      expect(manifest, folder).toMatchObject({ version });
    }
  });
});
