import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endsWithTests } from '../../../../test/support/children.js';
import { writeFileAtomic } from './atomic.js';

let folder: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atomic-'));
  target = join(folder, 'model.bin');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The function as modules that plain Node can run, for child processes. */
function compiled(): void {
  for (const name of ['atomic', 'reason']) {
    const source = readFileSync(new URL(`./${name}.ts`, import.meta.url), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(folder, `${name}.mjs`), outputText.replaceAll(/(\.\/\w+)\.js/g, '$1.mjs'));
  }
}

const temporaries = () => readdirSync(folder).filter((name) => name.endsWith('.tmp'));

describe('writeFileAtomic', () => {
  it('writes text, bytes, and what a function writes', () => {
    writeFileAtomic(target, 'grüße');
    expect(readFileSync(target, 'utf8')).toBe('grüße');
    writeFileAtomic(target, new Uint8Array([1, 2, 3]));
    expect([...readFileSync(target)]).toEqual([1, 2, 3]);
    writeFileAtomic(target, (fd) => {
      writeSync(fd, 'a');
      writeSync(fd, 'b');
    });
    expect(readFileSync(target, 'utf8')).toBe('ab');
    expect(readdirSync(folder)).toEqual(['model.bin']);
  });

  it('leaves the old file and no temporary file when the writer throws', () => {
    writeFileSync(target, 'old');
    expect(() => {
      writeFileAtomic(target, (fd) => {
        writeSync(fd, 'half of the n');
        throw new Error('disk on fire');
      });
    }).toThrow('disk on fire');
    expect(readFileSync(target, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['model.bin']);
  });

  it('leaves no temporary file when the target is a folder', () => {
    mkdirSync(target);
    expect(() => {
      writeFileAtomic(target, 'x');
    }).toThrow(/EISDIR|ENOTEMPTY|EEXIST|EPERM/);
    expect(readdirSync(folder)).toEqual(['model.bin']);
  });

  it('names the target, not the temporary file, when the folder is missing', () => {
    const missing = join(folder, 'no', 'model.bin');
    expect(() => {
      writeFileAtomic(missing, 'x');
    }).toThrow(`writeFileAtomic: cannot write "${missing}": ENOENT`);
  });

  it('says in words what is wrong, with the code of the system', () => {
    const long = join(folder, 'a'.repeat(300));
    const below = join(target, 'x');
    writeFileSync(target, 'a file');
    for (const [path, code, words] of [
      [long, 'ENAMETOOLONG', 'the name is too long'],
      [below, 'ENOTDIR', 'a part of the path is a file'],
    ] as const) {
      const failed = (): void => {
        writeFileAtomic(path, 'x');
      };
      expect(failed).toThrow(expect.objectContaining({ code }) as Error);
      expect(failed).toThrow(`writeFileAtomic: cannot write "${path}": ${words} (${code})`);
    }
  });

  it('never takes a pipe or device away, which other programs use', () => {
    const pipe = join(folder, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    expect(() => {
      writeFileAtomic(pipe, 'x');
    }).toThrow(`cannot write "${pipe}": it is a device or pipe, expected a regular file`);
    expect(statSync(pipe).isFIFO()).toBe(true);
    expect(readdirSync(folder)).toEqual(['pipe']);
  });

  it('keeps the permissions of the file it replaces', () => {
    writeFileSync(target, 'old');
    chmodSync(target, 0o640);
    writeFileAtomic(target, 'new');
    expect(statSync(target).mode & 0o777).toBe(0o640);
  });

  it('writes through a symbolic link', () => {
    writeFileSync(target, 'old');
    const link = join(folder, 'latest');
    symlinkSync('model.bin', link);
    writeFileAtomic(link, 'new');
    expect(readlinkSync(link)).toBe('model.bin');
    expect(readFileSync(target, 'utf8')).toBe('new');
  });

  it('takes names as long as the file system allows', () => {
    const long = join(folder, 'ä'.repeat(127));
    writeFileAtomic(long, 'x');
    expect(readFileSync(long, 'utf8')).toBe('x');
  });

  it('removes temporary files of dead processes for the same target, and no others', () => {
    // A real temporary name, from a writer that looks; then as if dead or living processes had made it.
    let own = '';
    writeFileAtomic(target, () => {
      own = temporaries()[0] ?? '';
    });
    // No process has this id: Linux has fewer than 2^22.
    const dead = 2 ** 30;
    const withPid = (pid: number) => own.replace(`-${process.pid}-`, `-${pid}-`);
    const reused = own.replace(/-[0-9a-f]+\.tmp$/, '-0123.tmp');
    const otherTarget = withPid(dead).replace(/\.[0-9a-f]{12}-/, '.000000000000-');
    for (const name of [withPid(dead), withPid(process.ppid), own, reused, otherTarget]) {
      writeFileSync(join(folder, name), 'half');
    }
    // Older than this process: an earlier one had our process id.
    utimesSync(join(folder, reused), 1, 1);

    writeFileAtomic(target, 'new');
    expect(temporaries().sort()).toEqual([withPid(process.ppid), own, otherTarget].sort());
  });

  it('never leaves a broken target when the process is killed at any moment', async () => {
    // Versions are 1 MiB of one byte each, so a mixture of two, or a part of one, shows.
    const size = 1 << 20;
    const script = join(folder, 'writer.mjs');
    compiled();
    writeFileSync(
      script,
      `import { writeFileAtomic } from './atomic.mjs';
       for (let k = 1; ; k = (k % 255) + 1) {
         writeFileAtomic(${JSON.stringify(target)}, Buffer.alloc(${size}, k));
         process.stdout.write('.');
       }`,
    );
    const versions: (number | undefined)[] = [];
    for (let round = 0; round < 8; round += 1) {
      const child = endsWithTests(
        spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] }),
      );
      const ended = new Promise((resolve) => child.once('exit', resolve));
      // Counted in writes, so that a busy machine does not kill it before its first one; the signal then comes
      // at whatever moment of a later one.
      await new Promise<void>((resolve) => {
        let written = 0;
        child.stdout.on('data', (dots: Buffer) => {
          written += dots.length;
          if (written > 3 * round) resolve();
        });
      });
      child.kill('SIGKILL');
      await ended;
      const content = readFileSync(target);
      expect(content.length).toBe(size);
      expect(content.equals(Buffer.alloc(size, content[0]))).toBe(true);
      versions.push(content[0]);
    }
    // As late as was asked for, so the children were killed among their writes and not before.
    versions.forEach((version, round) => {
      expect(version).toBeGreaterThan(3 * round);
    });

    writeFileAtomic(target, 'last');
    expect(temporaries()).toEqual([]);
  });
});
