import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { copyFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCifar, verifyCifar } from './cifar.js';
import type { CifarSpec } from './cifar-spec.js';
import { cifar10Spec } from './datasets/cifar10.js';
import { cifar100Spec } from './datasets/cifar100.js';
import {
  array,
  batch,
  integers,
  names,
  pickledDict,
  writePythonVersion,
} from './testing/cifar-pickle.js';
import { pythonWith, unlessPython } from '../../../../test/support/python.js';

/** The official layouts with 20 records per file. */
const small10: CifarSpec = { ...cifar10Spec, recordsPerTrainFile: 20, recordsPerTestFile: 20 };
const small100: CifarSpec = { ...cifar100Spec, recordsPerTrainFile: 200, recordsPerTestFile: 100 };
const { python } = cifar10Spec;

let dir: string;
let folder: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-cifar-py-'));
  folder = join(dir, python.folder);
  writePythonVersion(small10, folder);
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

async function expectAll(given: string): Promise<void> {
  const { info, train, test } = await openCifar(small10, { dir: given });
  expect(info).toMatchObject({
    name: 'cifar10',
    channels: 3,
    classes: cifar10Spec.classes,
    dir: given,
  });
  expect([train.length, test.length]).toEqual([100, 20]);
  expect(train.label(47)).toBe(7); // file 3, record 7
  const image = await train.read([47]);
  expect([image[0], image[1023], image[1024], image[2048], image[2049]]).toEqual([7, 7, 2, 0, 1]);
  expect((await test.read([19]))[1024]).toBe(5); // the sixth file
}

describe('the python version of CIFAR', () => {
  it('is read from the folder, its parent and the archive, all the same', async () => {
    await create({ gzip: true, file: join(dir, python.archive), cwd: dir }, [python.folder]);
    const archiveOnly = join(dir, 'only');
    mkdirSync(archiveOnly);
    copyFileSync(join(dir, python.archive), join(archiveOnly, python.archive));
    for (const given of [dir, folder, archiveOnly, join(archiveOnly, python.archive)])
      await expectAll(given);
  });

  it('gives the fine labels of CIFAR-100', async () => {
    writePythonVersion(small100, join(dir, cifar100Spec.python.folder));
    for (const given of [dir, join(dir, cifar100Spec.python.folder)]) {
      const { info, train } = await openCifar(small100, { dir: given });
      expect(train.label(157)).toBe(57);
      expect(info.classes[57]).toBe('pear');
      expect((await train.read([157]))[0]).toBe(157);
    }
    // Files called train and test may be anybody's: the names of the classes beside them tell.
    const other = join(dir, 'other');
    mkdirSync(other);
    for (const name of ['train', 'test', 'meta']) {
      copyFileSync(join(dir, cifar100Spec.python.folder, name), join(other, name));
    }
    expect((await openCifar(small100, { dir: other })).train.label(157)).toBe(57);
    rmSync(join(other, 'meta'));
    await expect(openCifar(small100, { dir: other })).rejects.toThrow(`found no CIFAR-100`);
  });

  it('is passed over where the binary version is, with a note', async () => {
    mkdirSync(join(dir, cifar10Spec.folder));
    for (const name of [...cifar10Spec.train, ...cifar10Spec.test]) {
      writeFileSync(join(dir, cifar10Spec.folder, name), Buffer.alloc(20 * 3073, 1));
    }
    const notes: string[] = [];
    const { train } = await openCifar(small10, { dir, onNote: (note) => notes.push(note) });
    expect(train.label(0)).toBe(1);
    const note = `cifar10: reads ${join(dir, cifar10Spec.folder)}; the other version in ${folder} is not read.`;
    expect(notes).toEqual([note]);
    expect((await verifyCifar(small10, { dir })).notes).toEqual([note]);
  });

  it('is verified, with the archive beside it', async () => {
    const report = await verifyCifar(small10, { dir });
    expect(report).toMatchObject({ ok: true, problems: [], notes: [] });
    expect(report.counts).toEqual({ train: new Array(10).fill(10), test: new Array(10).fill(2) });
    expect(report.files.map(({ path }) => path)).toContain(join(folder, 'batches.meta'));
    writeFileSync(join(dir, python.archive), 'abc');
    const md5 = createHash('md5').update('abc').digest('hex');
    expect((await verifyCifar(small10, { dir })).problems).toEqual([
      `${join(dir, python.archive)}: got md5 ${md5}, expected ${python.md5}. Delete it and download ${python.url} ` +
        'again, or run "mamba-prune data get cifar10" for the binary version.',
    ]);
  });

  it('may be in the order of Fortran, as numpy writes transposed arrays', async () => {
    const { pixels, labels } = batch(small10, 20, 0);
    const turned = Buffer.alloc(pixels.length);
    for (let r = 0; r < 20; r++)
      for (let p = 0; p < 3072; p++) turned[p * 20 + r] = pixels[r * 3072 + p] ?? 0;
    const content = {
      labels: integers(labels),
      data: array(turned, [20, 3072], { fortran: true }),
    };
    writeFileSync(join(folder, 'data_batch_1'), pickledDict(content));
    const { train } = await openCifar(small10, { dir });
    expect(Buffer.from(await train.read([13]))).toEqual(pixels.subarray(13 * 3072, 14 * 3072));
  });

  it('is not read without one of its files, or with one that breaks off', async () => {
    const file = join(folder, 'data_batch_3');
    const again = `Delete it and download ${python.url} again, or run "mamba-prune data get cifar10" for the binary version.`;
    truncateSync(file, 20_000);
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      /data_batch_3: got something else than a file of CIFAR-10's python version \(byte \d+: got 61440 more bytes announced, expected at most \d+\)\. /,
    );
    await expect(openCifar(small10, { dir })).rejects.toThrow(again);
    rmSync(file);
    await expect(openCifar(small10, { dir })).rejects.toThrow(`${file}: cannot be read (ENOENT`);
    await create({ gzip: true, file: join(dir, python.archive), cwd: dir }, [python.folder]);
    rmSync(folder, { recursive: true });
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      /data_batch_3: cannot be read \(the archive does not contain it\)/,
    );
    truncateSync(join(dir, python.archive), 500);
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      /cifar-10-python\.tar\.gz \(500 bytes\) cannot be unpacked/,
    );
  });

  const { pixels, labels } = batch(small10, 20, 0);
  const data = array(pixels, [20, 3072]);
  const bad: [what: string, content: Buffer, reason: string][] = [
    [
      'no pickle',
      Buffer.from('<html>404</html>'),
      'byte 1: got opcode 0x3c, expected one of protocol 2 to 5',
    ],
    ['an empty file', Buffer.alloc(0), 'byte 0: got the end of the pickle, expected more of it'],
    ['no dict', Buffer.from('\x80\x02]q\x01.', 'latin1'), 'it holds no dict'],
    ['no array', pickledDict({ labels: integers(labels) }), 'it holds no array called "data"'],
    ['no labels', pickledDict({ data }), 'it holds no list of labels called "labels"'],
    [
      'too few labels',
      pickledDict({ data, labels: integers([1, 2]) }),
      '"labels" has 2 entries, expected 20',
    ],
    [
      'a label that is no class',
      pickledDict({ data, labels: integers([...labels.slice(1), 10]) }),
      'record 19: got label 10, expected 0 to 9',
    ],
    [
      'fewer images',
      pickledDict({ data: array(pixels.subarray(3072), [19, 3072]), labels: integers(labels) }),
      '"data" has the shape [19, 3072], expected [20, 3072]',
    ],
    [
      'a shape that the bytes do not fill',
      pickledDict({ data: array(pixels.subarray(3072), [20, 3072]), labels: integers(labels) }),
      '"data" has 58368 bytes, expected 61440',
    ],
    [
      'numbers of another type',
      pickledDict({ data: array(pixels, [20, 3072], { dtype: 'f4' }), labels: integers(labels) }),
      '"data" has elements of type f4, expected uint8 (u1)',
    ],
    [
      'code',
      Buffer.from('\x80\x02cposix\nsystem\nU\x06whoami\x85R.', 'latin1'),
      'it names the Python global "posix.system", expected only plain data and arrays of numpy; nothing of it was run',
    ],
    [
      'a structure that copies itself',
      Buffer.from(
        `\x80\x02](${'K\x01'.repeat(1000)}eq\0${'0c__builtin__\nlist\nh\0\x85R'.repeat(3000)}.`,
        'latin1',
      ),
      'got a structure that copies its own parts again and again',
    ],
  ];
  it.each(bad)('is refused with a sentence: %s', async (_, content, reason) => {
    const file = join(folder, 'test_batch');
    writeFileSync(file, content);
    const failure = await openCifar(small10, { dir }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ file, name: 'DataError' });
    const { message } = failure as Error;
    expect(message).toContain(
      `openDataset "cifar10": ${file}: got something else than a file of CIFAR-10's python version (`,
    );
    expect(message).toContain(`${reason}). Delete it and download`);
  });

  it('is refused with other classes', async () => {
    const meta = join(folder, 'batches.meta');
    const other = ['plane', ...cifar10Spec.classes.slice(1)];
    writeFileSync(meta, pickledDict({ label_names: names(other) }));
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      'class 0 is called "plane", expected "airplane"',
    );
    writeFileSync(meta, pickledDict({ label_names: names(cifar10Spec.classes.slice(1)) }));
    await expect(openCifar(small10, { dir })).rejects.toThrow('class 0 is called "automobile"');
    writeFileSync(meta, 'x');
    await expect(openCifar(small10, { dir })).rejects.toThrow(`${meta}: got something else`);
    rmSync(meta); // the names are known
    await expectAll(dir);
  });

  it('refuses a file far too large and a named pipe without reading them', async () => {
    const file = join(folder, 'data_batch_3');
    truncateSync(file, 2 ** 42); // holes
    await expect(openCifar(small10, { dir })).rejects.toThrow(`${file}: cannot be read (`);
    rmSync(file);
    execFileSync('mkfifo', [file]);
    await expect(openCifar(small10, { dir })).rejects.toThrow(
      `${file}: cannot be read (it is no regular file)`,
    );
  });
});

const interpreter = pythonWith('numpy');

describe('what Python pickles again', () => {
  // Keys are str, bytes as Python 3 reads the official files, and labels may have become an array.
  const script = `
import pickle, sys, numpy
path, protocol, keys = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(path, 'rb') as file: found = pickle.load(file, encoding='bytes')
if keys == 'str': found = {k.decode(): v for k, v in found.items()}
if keys == 'array':
    found[b'labels'] = numpy.array(found[b'labels']); found[b'data'] = found[b'data'].reshape(-1, 3, 32, 32)
with open(path, 'wb') as file: pickle.dump(found, file, protocol)
`;
  const cases = [
    [2, 'bytes'],
    [2, 'array'],
    [3, 'str'],
    [4, 'bytes'],
    [5, 'array'],
  ] as const;
  it.skipIf(interpreter === undefined).each(cases)(
    `reads protocol %i with %s${unlessPython(interpreter, 'numpy')}`,
    async (protocol, keys) => {
      const file = join(folder, 'test_batch');
      const before = readFileSync(file);
      execFileSync(interpreter ?? '', ['-c', script, file, String(protocol), keys]);
      expect(readFileSync(file).equals(before)).toBe(false);
      await expectAll(dir);
    },
  );
});
