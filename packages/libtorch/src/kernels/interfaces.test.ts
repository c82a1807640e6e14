// The headers that a GPU's kernels share with their hosts: both compilers read them, and either must see that an argument
// has changed its layout. No GPU and no NVRTC is needed: g++ reads them as each of the two does.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../native/cuda/kernels', import.meta.url));
const names = readdirSync(folder).filter((name) => name.endsWith('interface.h'));
const [compiler = 'g++', ...words] = (process.env['CXX'] ?? 'g++').split(/\s+/);
const scratch = mkdtempSync(join(tmpdir(), 'interfaces-'));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

/** NVRTC defines __CUDACC__ and knows the two words, and has no standard headers. */
const sides = {
  host: [],
  device: ['-nostdinc', '-nostdinc++', '-D__CUDACC__', '-D__host__=', '-D__device__='],
};

/** What the compiler says of a text that lies where the headers do; empty if it is right. */
function complaints(text: string, flags: readonly string[]): string {
  const source = join(scratch, 'source.cc');
  writeFileSync(source, text);
  const args = [...words, '-std=c++17', '-fsyntax-only', '-Wall', '-I', folder, ...flags, source];
  const { stdout, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (error) throw error;
  return stdout + stderr;
}

describe.each(Object.entries(sides))('the interfaces of kernels, read by the %s', (_, flags) => {
  it.each(names)('%s compiles on its own', (name) => {
    expect(complaints(`#include "${name}"\n`, flags)).toBe('');
  });

  it.each(names.filter((name) => name !== 'interface.h'))(
    '%s is refused when an argument has a member more',
    (name) => {
      const text = readFileSync(join(folder, name), 'utf8');
      const structs = [...text.matchAll(/struct (\w*Args|\w*Grads) \{\n/g)];
      expect(structs).not.toEqual([]);
      for (const [head, struct] of structs) {
        const changed = text.replace(head, `${head}  double another;\n`);
        expect(complaints(changed, flags), struct).toContain(`${struct}`);
        expect(complaints(changed, flags), struct).toContain('static assertion failed');
      }
    },
  );
});

describe('the sources of kernels', () => {
  const sources = readdirSync(folder).filter((name) => /\.(cu|cuh|h)$/.test(name));

  it.each(sources)('%s includes nothing but what lies beside it', (name) => {
    const text = readFileSync(join(folder, name), 'utf8').replace(
      /#ifndef __CUDACC__\n[\s\S]*?#endif\n/g,
      '',
    );
    const included = [...text.matchAll(/^\s*#\s*include\s+(.*)$/gm)].map(([, what]) => what);
    const beside = sources.map((source) => `"${source}"`);
    expect(included.filter((what = '') => !beside.includes(what))).toEqual([]);
  });

  it.each(sources.filter((name) => name.endsWith('.cu')))(
    '%s declares the argument of no kernel itself',
    (name) => {
      expect(readFileSync(join(folder, name), 'utf8')).not.toMatch(/struct \w*(Args|Grads)\b/);
    },
  );
});

/** The hosts' texts: all launches, and what they define for the kernels. */
const hosts = join(folder, '..');
const hostTexts = readdirSync(hosts)
  .filter((name) => /\.(cc|h)$/.test(name))
  .map((name) => readFileSync(join(hosts, name), 'utf8'));

/** From the first bracket of a text to the one that closes it. */
function bracketed(text: string, [open, close]: readonly [string, string]): string {
  const start = text.indexOf(open);
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === open) depth += 1;
    if (text[at] === close && --depth === 0) return text.slice(start, at + 1);
  }
  return text.slice(start);
}

/** Names in a list of defines, those that functions called there add to it, and those of a list that was made before. */
function definesIn(call: string, before: string): string[] {
  const own = Array.from(call.matchAll(/\{"([A-Z_]+)",/g), ([, name = '']) => name);
  const called = Array.from(call.matchAll(/\b(\w*defines_of\w*)\(/g), ([, name = '']) => name);
  const bodies = called.flatMap((name) =>
    hostTexts.flatMap((text) => {
      const at = text.search(new RegExp(`\\bDefines ${name}\\([^;{]*\\) \\{`));
      return at < 0 ? [] : [bracketed(text.slice(at), ['{', '}'])];
    }),
  );
  const made = /\bown\b/.test(call)
    ? /Defines own = [^;]*;(?![^]*Defines own = )/.exec(before)?.[0]
    : undefined;
  return [
    ...own,
    ...bodies.flatMap((body) => definesIn(body, '')),
    ...(made === undefined ? [] : definesIn(made, '')),
  ];
}

/** A source with what it includes, and what stands before every source. */
function withIncluded(name: string, seen = new Set(['common.cuh'])): string {
  seen.add(name);
  const text = readFileSync(join(folder, name), 'utf8');
  const included = Array.from(text.matchAll(/#include "(.*)"/g), ([, other = '']) => other);
  const others = [...included, ...(name === 'common.cuh' ? [] : ['interface.h'])];
  return text + others.flatMap((o) => (seen.has(o) ? [] : [withIncluded(o, seen)])).join('');
}

describe('the launches of kernels', () => {
  it('define nothing that a kernel does not read', () => {
    const found = hostTexts.flatMap((text) =>
      Array.from(text.matchAll(/find_kernel\(\s*"(\w+\.cu)"/g), ({ index, 1: file = '' }) => {
        const defines = definesIn(bracketed(text.slice(index), ['(', ')']), text.slice(0, index));
        const source = withIncluded(file).replaceAll(/\/\/.*/g, '');
        // The element type is read by what stands before every source.
        const unread = defines.filter(
          (name) => name !== 'SCALAR' && !new RegExp(`\\b${name}\\b`).test(source),
        );
        return { file, defines, unread };
      }),
    );
    expect(found.length).toBeGreaterThan(20);
    expect(found.find(({ file }) => file === 'scan.cu')?.defines).toContain('COLUMNS');
    expect(found.filter(({ unread }) => unread.length > 0)).toEqual([]);
  });
});
