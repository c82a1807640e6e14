// A page that exists in two languages says the same in both. Words cannot be compared, but what stands between them can: in every part the headings, links,
// formulas, code, commands, rows of tables and figures are the same.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = new URL('../', import.meta.url);
const read = (name: string): string => readFileSync(fileURLToPath(new URL(name, root)), 'utf8');

/** What a part of a page, from one heading to the next, has of each kind. */
type Part = Readonly<Record<string, readonly string[]>>;

const found = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? match[0]);
const once = (values: readonly string[]): string[] => [...new Set(values)].sort();

/** Numbers, but for those of months, which English writes as words. */
const numbersOf = (text: string): string[] =>
  found(text.replaceAll(/\d+ 月/g, ''), /\d+(?:[.,]\d+)*/g);

/** The page's lines from one heading to the next. Blocks of code have no headings. */
function textsOf(page: string): string[] {
  const texts = [''];
  let fenced = false;
  for (const line of page.split('\n')) {
    if (/^\s*```/.test(line)) fenced = !fenced;
    if (!fenced && /^#+ /.test(line)) texts.push('');
    texts.push(`${texts.pop() ?? ''}${line}\n`);
  }
  return texts;
}

/** The anchors of a page's headings, each with its number in place of its words. */
function numbersOfAnchors(page: string): Map<string, string> {
  const headings = textsOf(page).map((text) => found(text, /^#+ (.+)$/gm)[0] ?? '');
  const anchors = headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-'),
  );
  return new Map(anchors.map((anchor, i) => [anchor, `heading ${i}`]));
}

/** A link without the language: of two pages that are translations, or of two headings of them, the same. */
function target(link: string, page: string, name: string): string {
  const [path = '', anchor] = link.split('#');
  const to = path.replace('.zh-CN.', '.');
  if (anchor === undefined) return to;
  const folder = name.slice(0, name.lastIndexOf('/') + 1);
  const translated =
    path === '' || existsSync(new URL(folder + to.replace('.md', '.zh-CN.md'), root));
  if (!translated) return link;
  const numbers = numbersOfAnchors(path === '' ? page : read(folder + path));
  return `${to}#${numbers.get(anchor) ?? anchor}`;
}

function partsOf(name: string): Part[] {
  const page = read(name);
  return textsOf(page).map((text) => {
    const blocks = found(text, /^\s*```(.*?)^\s*```/gms);
    const outside = text.replaceAll(/^\s*```.*?^\s*```/gms, '');
    const commands = found(outside, /^ {4}(\S.*)$/gm);
    const prose = outside.replaceAll(/^ {4}\S.*$/gm, '');
    const code = found(prose, /`[^`]+`/g);
    const words = prose.replaceAll(/`[^`]+`/g, '').replaceAll(/\]\([^)]*\)/g, ']');
    const rows = found(words, /^ *\|.*$/gm);
    return {
      heading: found(outside, /^(#+) /gm),
      'block of code': blocks.map((block) => block.replaceAll(/\\text\{[^}]*\}/g, '\\text{}')),
      command: commands.map((command) => command.replace(/ # .*/, '').trim()),
      'span of code': once(code),
      formula: once(found(prose.replaceAll(/`[^`]+`/g, ''), /\$([^$]+)\$/g)),
      link: found(prose, /\]\(([^)\s]+)\)/g)
        .map((link) => target(link, page, name))
        .sort(),
      'row of a table': rows.map(
        (row) => `${row.split('|').length - 2} cells: ${numbersOf(row).sort().join(' ')}`,
      ),
      figure: once(numbersOf(words.replaceAll(/\$[^$]+\$/g, '')).filter((text) => text.length > 1)),
    };
  });
}

/** What one of two pages has that the other lacks, part by part, in words. */
function differences(english: string, chinese: string): string[] {
  const theirs = partsOf(chinese);
  return partsOf(english).flatMap((part, i) =>
    Object.entries(part).flatMap(([kind, values]) => {
      const others = theirs[i]?.[kind] ?? [];
      const where = `${kind} of "${textsOf(read(english))[i]?.split('\n')[0]}"`;
      const missing = values.filter((value) => !others.includes(value));
      const added = others.filter((value) => !values.includes(value));
      const moved = missing.length + added.length === 0 && values.join('\n') !== others.join('\n');
      return [
        ...missing.map((value) => `${chinese} lacks the ${where}: ${value}`),
        ...added.map((value) => `${english} lacks the ${where}: ${value}`),
        ...(moved ? [`other order or number of the ${where}`] : []),
      ];
    }),
  );
}

const translations = execFileSync('git', ['ls-files', '*.zh-CN.md'], {
  cwd: fileURLToPath(root),
  encoding: 'utf8',
})
  .trim()
  .split('\n');

it('finds the pages in Chinese', () => {
  expect(translations).toEqual(
    expect.arrayContaining(['README.zh-CN.md', 'docs/methods.zh-CN.md']),
  );
});

describe.each(translations)('%s', (chinese) => {
  const english = chinese.replace('.zh-CN.', '.');

  it('has as many headings as the page in English', () => {
    expect(partsOf(chinese)).toHaveLength(partsOf(english).length);
  });

  // After a mark such as 。 two stars end bold text only where a space or another mark follows. Chinese has no spaces there.
  it('ends its bold text where Markdown sees the end', () => {
    const words = read(chinese).replaceAll(/`[^`]+`/g, '`');
    const bold = [...words.matchAll(/\*\*(.+?)\*\*(.?)/g)];
    const open = bold.filter(
      ([, text = '', next = '']) => /\p{P}$/u.test(text) && /[^\s\p{P}]/u.test(next),
    );
    expect(open.map(([text]) => text)).toEqual([]);
  });

  // Browsers show a break between two lines as a space, which Chinese does not have there.
  it('breaks no line beside a Chinese mark, or between two Chinese words', () => {
    const breaks = [
      ...read(chinese).matchAll(
        /^(?![ |#>-]*$)[^|#\n]*?.{0,8}(?:[，。；：、）]\n *(?=[^\s|#>*\-!\d$`])|\p{Script=Han}\n *(?=[\p{Script=Han}（])).{0,8}/gmu,
      ),
    ];
    expect(breaks.map(([text]) => text)).toEqual([]);
  });

  it('has the same links, formulas, code, tables and figures under each heading', () => {
    expect(differences(english, chinese)).toEqual([]);
  });
});
