import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Header, create } from 'tar';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCifar, verifyCifar } from './cifar.js';
import type { CifarSpec } from './cifar-spec.js';
import { cifar10Spec } from './datasets/cifar10.js';
import { cifar100Spec } from './datasets/cifar100.js';
import { eachTarEntry } from './tar-entries.js';

/** The official layouts with 20 records per file. */
const small10: CifarSpec = { ...cifar10Spec, recordsPerTrainFile: 20, recordsPerTestFile: 20 };
const small100: CifarSpec = { ...cifar100Spec, recordsPerTrainFile: 200, recordsPerTestFile: 100 };

/** Record r of file f: class r mod classes, red all r, green all f, blue 0, 1, 2 ... */
function writeFiles(spec: CifarSpec, folder: string): void {
  mkdirSync(folder, { recursive: true });
  [...spec.train, ...spec.test].forEach((name, f) => {
    const isTest = spec.test.includes(name);
    const count = isTest ? spec.recordsPerTestFile : spec.recordsPerTrainFile;
    const bytes = Buffer.alloc(count * (spec.labelBytes + 3072));
    for (let r = 0; r < count; r++) {
      const at = r * (spec.labelBytes + 3072);
      if (spec.labelBytes === 2) bytes[at] = 19; // coarse: must not be taken
      bytes[at + spec.labelBytes - 1] = r % spec.classes.length;
      const pixels = at + spec.labelBytes;
      bytes.fill(r, pixels, pixels + 1024).fill(f, pixels + 1024, pixels + 2048);
      for (let p = 0; p < 1024; p++) bytes[pixels + 2048 + p] = p & 255;
    }
    writeFileSync(join(folder, name), bytes);
  });
}

let dir: string;
let folder: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-cifar-'));
  folder = join(dir, cifar10Spec.folder);
  writeFiles(small10, folder);
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('the CIFAR layouts', () => {
  it('have the official sizes and class names', () => {
    expect(cifar10Spec.recordsPerTestFile * 3073).toBe(30_730_000);
    expect(cifar100Spec.recordsPerTrainFile * 3074).toBe(153_700_000);
    expect(cifar10Spec.classes[6]).toBe('frog');
    expect(cifar100Spec.classes).toHaveLength(100);
    expect([...cifar100Spec.classes]).toEqual([...cifar100Spec.classes].sort());
    expect(cifar100Spec.classes[99]).toBe('worm');
  });
});

describe('openCifar', () => {
  it('reads the folder, its parent and the archive, all the same', async () => {
    await create({ gzip: true, file: join(dir, cifar10Spec.archive), cwd: dir }, [
      cifar10Spec.folder,
    ]);
    const archiveOnly = join(dir, 'only');
    mkdirSync(archiveOnly);
    copyFileSync(join(dir, cifar10Spec.archive), join(archiveOnly, cifar10Spec.archive));
    for (const given of [dir, folder, archiveOnly, join(archiveOnly, cifar10Spec.archive)]) {
      const { info, train, test } = await openCifar(small10, { dir: given });
      expect(info).toMatchObject({ name: 'cifar10', channels: 3, height: 32, width: 32 });
      expect([train.length, test.length]).toEqual([100, 20]);
      expect(train.label(47)).toBe(7); // file 3, record 7
      const image = await train.read([47]);
      expect([image[0], image[1023], image[1024], image[2048], image[2049]]).toEqual([
        7, 7, 2, 0, 1,
      ]);
      expect((await test.read([19]))[1024]).toBe(5); // the sixth file
    }
  });

  it('takes the fine labels of CIFAR-100', async () => {
    writeFiles(small100, join(dir, cifar100Spec.folder));
    const { info, train } = await openCifar(small100, { dir });
    expect(train.label(157)).toBe(57);
    expect(info.classes[57]).toBe('pear');
    expect((await train.read([157]))[0]).toBe(157);
  });

  it('names a truncated, a too long and a missing file', async () => {
    const file = join(folder, 'data_batch_3.bin');
    truncateSync(file, 1000);
    const again = 'Delete it and run "mamba-prune data get cifar10" again.';
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      `openDataset "cifar10": ${file}: got 1000 bytes, expected 61460. ${again}`,
    );
    truncateSync(file, 61461);
    await expect(openCifar(small10, { dir })).rejects.toThrow('got 61461 bytes, expected 61460');
    rmSync(file);
    await expect(openCifar(small10, { dir })).rejects.toThrow(/data_batch_3\.bin: cannot be read/);
    await expect(openCifar(small10, { dir })).rejects.toMatchObject({ file });
  });

  it('names a record with a label that is no class', async () => {
    const file = join(folder, 'test_batch.bin');
    const bytes = readFileSync(file);
    bytes[3 * 3073] = 10;
    writeFileSync(file, bytes);
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      `${file}: record 3: got label 10, expected 0 to 9.`,
    );
  });

  it('says what it looked for if nothing is there', async () => {
    await expect(openCifar(small10, {})).rejects.toThrow(
      'openDataset "cifar10": got no folder, expected the one with cifar-10-batches-bin or cifar-10-batches-py.',
    );
    const empty = join(dir, 'empty');
    await expect(openCifar(small10, { dir: empty })).rejects.toThrow(
      `found no CIFAR-10 binary version or python version in ${empty}, expected ` +
        'cifar-10-batches-bin/data_batch_1.bin or cifar-10-binary.tar.gz, or ' +
        'cifar-10-batches-py/data_batch_1 or cifar-10-python.tar.gz. ' +
        `Run "mamba-prune data get cifar10 --data ${empty}"`,
    );
  });

  /** One entry of an archive: its head says a size that its bytes may not have. */
  function entryOf(name: string, size: number, bytes: Buffer): Buffer {
    const head = Buffer.alloc(512);
    new Header({ path: `${cifar10Spec.folder}/${name}`, type: 'File', mode: 0o644, size }).encode(
      head,
    );
    return Buffer.concat([head, bytes]);
  }

  const archives: [what: string, entries: () => Buffer[], message: RegExp][] = [
    [
      'a file of 8 GiB',
      () => [entryOf('data_batch_1.bin', 8 * 1024 ** 3, Buffer.alloc(32 * 1024 ** 2))],
      /data_batch_1\.bin: got 8589934592 bytes, expected 61460\. Delete it and run/,
    ],
    [
      'a file that is too short',
      () => [entryOf('test_batch.bin', 512, Buffer.alloc(512)), Buffer.alloc(1024)],
      /test_batch\.bin: got 512 bytes, expected 61460/,
    ],
    [
      'a large file that does not belong there',
      () => [entryOf('readme.html', 2 ** 40, Buffer.alloc(32 * 1024 ** 2))],
      /cannot be unpacked \(it holds 1099511627776 bytes that are no part of CIFAR-10\)/,
    ],
    [
      'many files that do not belong there',
      () => Array.from({ length: 40 }, (_, i) => entryOf(`${i}`, 2 ** 19, Buffer.alloc(2 ** 19))),
      /it holds 1\d{7} bytes that are no part of CIFAR-10/,
    ],
    [
      'the same file again and again',
      () => {
        const one = entryOf('test_batch.bin', 61460, Buffer.alloc(61952));
        return Array.from({ length: 400 }, () => one);
      },
      /it holds 16\d{6} bytes that are no part of CIFAR-10/,
    ],
  ];
  /** 60 MiB: far more than the files of the small layout and what else an archive may hold. */
  const zeros = () => Buffer.alloc(60 * 1024 ** 2);
  const bombs: [what: string, bytes: () => Buffer, message: RegExp][] = [
    ['zeros alone', zeros, /cannot be unpacked \(it holds no files\)/],
    [
      'heads of empty files without end',
      () => Buffer.alloc(40 * 1024 ** 2, entryOf('x', 0, Buffer.alloc(0))),
      /it unpacks to more than the \d+ bytes that its files may take/,
    ],
    ['a gzip in it', () => gzipSync(zeros()), /it is compressed twice/],
    ['nothing in it', () => Buffer.alloc(0), /cannot be unpacked/],
  ];
  it.each(bombs)('refuses an archive with %s', async (_, bytes, message) => {
    rmSync(folder, { recursive: true });
    const archive = join(dir, cifar10Spec.archive);
    writeFileSync(archive, gzipSync(bytes()));
    await expect(openCifar(small10, { dir })).rejects.toThrow(message);
    await expect(openCifar(small10, { dir })).rejects.toThrow(archive);
  });

  it('reads an archive with zeros behind its end, and gives the parser none of them', async () => {
    const archive = join(dir, cifar10Spec.archive);
    await create({ file: archive, cwd: dir }, [cifar10Spec.folder]);
    rmSync(folder, { recursive: true });
    const plain = readFileSync(archive);
    const long = Buffer.concat([plain, Buffer.alloc(30 * 1024 ** 2)]);
    for (const bytes of [
      long,
      gzipSync(long),
      Buffer.concat([gzipSync(plain), gzipSync(zeros())]),
    ]) {
      writeFileSync(archive, bytes);
      const { train, test } = await openCifar(small10, { dir });
      expect([train.length, test.length, train.label(47)]).toEqual([100, 20, 7]);
      const names: string[] = [];
      const fed = await eachTarEntry(archive, { most: 2 ** 26 }, (entry) => {
        names.push(entry.path);
        entry.resume();
      });
      expect(names).toHaveLength(7); // the folder and six files
      // It is seen in the piece that holds the end mark.
      expect(fed).toBeLessThan(plain.length + 2 ** 18);
    }
  });

  it('notices a wrong checksum behind the end of the files', async () => {
    const archive = join(dir, cifar10Spec.archive);
    await create({ gzip: true, file: archive, cwd: dir }, [cifar10Spec.folder]);
    rmSync(folder, { recursive: true });
    const bytes = readFileSync(archive);
    bytes.writeUInt32LE((bytes.readUInt32LE(bytes.length - 8) ^ 1) >>> 0, bytes.length - 8);
    writeFileSync(archive, bytes);
    await expect(openCifar(small10, { dir })).rejects.toThrow(/incorrect data check.*Delete it/);
  });

  it.each(archives)(
    'refuses an archive with %s as soon as it sees it',
    async (_, entries, message) => {
      rmSync(folder, { recursive: true });
      const archive = join(dir, cifar10Spec.archive);
      for (const pack of [gzipSync, (bytes: Buffer) => bytes]) {
        writeFileSync(archive, pack(Buffer.concat(entries())));
        await expect(openCifar(small10, { dir })).rejects.toThrow(message);
        await expect(verifyCifar(small10, { dir })).rejects.toThrow(archive);
      }
    },
  );

  it('refuses a file far too large and a named pipe without reading them', async () => {
    const file = join(folder, 'data_batch_3.bin');
    truncateSync(file, 2 ** 42); // holes
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      `${file}: got ${2 ** 42} bytes, expected 61460.`,
    );
    rmSync(file);
    execFileSync('mkfifo', [file]);
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      `${file}: cannot be read (it is no regular file).`,
    );
    rmSync(folder, { recursive: true });
    const archive = join(dir, cifar10Spec.archive);
    execFileSync('mkfifo', [archive]);
    await expect(openCifar(small10, { dir })).rejects.toThrow(/found no CIFAR-10/);
    writeFiles(small10, folder);
    await expect(verifyCifar(small10, { dir })).rejects.toThrow(
      `${archive}: it is no regular file`,
    );
  });

  it('refuses an archive that breaks off or lacks a file', async () => {
    const archive = join(dir, cifar10Spec.archive);
    await create({ gzip: true, file: archive, cwd: dir }, [cifar10Spec.folder]);
    rmSync(folder, { recursive: true });
    truncateSync(archive, Math.floor(readFileSync(archive).length / 2));
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      /cifar-10-binary\.tar\.gz.*Delete it/,
    );
    writeFiles(small10, folder);
    rmSync(join(folder, 'data_batch_2.bin'));
    await create({ gzip: true, file: archive, cwd: dir }, [cifar10Spec.folder]);
    rmSync(folder, { recursive: true });
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      /data_batch_2\.bin: cannot be read \(the archive does not contain it\)/,
    );
  });
});

describe('verifyCifar', () => {
  it('counts classes and finds nothing wrong with good files', async () => {
    const report = await verifyCifar(small10, { dir });
    expect(report).toMatchObject({ name: 'cifar10', ok: true, problems: [] });
    expect(report.counts).toEqual({ train: new Array(10).fill(10), test: new Array(10).fill(2) });
    expect(report.files).toHaveLength(6);
    expect(report.files[0]).toEqual({ path: join(folder, 'data_batch_1.bin'), bytes: 61460 });
  });

  it('reports every bad file, uneven classes and a wrong archive', async () => {
    truncateSync(join(folder, 'data_batch_1.bin'), 5);
    rmSync(join(folder, 'test_batch.bin'));
    const { ok, problems } = await verifyCifar(small10, { dir });
    expect(ok).toBe(false);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain('got 5 bytes');
    expect(problems[1]).toContain('test_batch.bin: cannot be read');

    writeFiles(small10, folder);
    const bytes = readFileSync(join(folder, 'data_batch_1.bin'));
    bytes[0] = 1; // was class 0
    writeFileSync(join(folder, 'data_batch_1.bin'), bytes);
    writeFileSync(join(dir, cifar10Spec.archive), 'abc');
    const uneven = await verifyCifar(small10, { dir });
    expect(uneven.problems[0]).toContain('train: got 9 images of class 0 (airplane), expected 10.');
    expect(uneven.problems[1]).toContain('train: got 11 images of class 1');
    const md5 = createHash('md5').update('abc').digest('hex');
    expect(uneven.problems[2]).toContain(`got md5 ${md5}, expected ${cifar10Spec.md5}`);
  });
});
