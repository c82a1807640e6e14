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
