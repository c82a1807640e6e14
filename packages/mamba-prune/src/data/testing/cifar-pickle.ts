// Files of CIFAR's python version, opcode by opcode as Python 2 wrote the official ones.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CifarSpec } from '../cifar-spec.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** `str` of Python 2. */
function text(value: Uint8Array | string): Buffer {
  const content = Buffer.from(value as string, 'latin1');
  if (content.length < 256)
    return Buffer.concat([bytes('U'), Buffer.from([content.length]), content]);
  const head = bytes('T    ');
  head.writeUInt32LE(content.length, 1);
  return Buffer.concat([head, content]);
}

function integer(value: number): Buffer {
  const head = bytes('J    ');
  head.writeInt32LE(value, 1);
  return head;
}

const list = (items: readonly Buffer[]): Buffer =>
  Buffer.concat([bytes(']('), ...items, bytes('e')]);

export interface PickledArrayOptions {
  readonly dtype?: string;
  readonly fortran?: boolean;
}

export function array(
  data: Uint8Array,
  shape: readonly number[],
  { dtype = 'u1', fortran = false }: PickledArrayOptions = {},
): Buffer {
  return Buffer.concat([
    bytes('cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t'),
    text('b'),
    bytes('tR'),
    bytes('(K\x01('),
    ...shape.map(integer),
    bytes('t'),
    bytes('cnumpy\ndtype\n('),
    text(dtype),
    bytes('K\0K\x01tR(K\x03'),
    text('|'),
    bytes('NNN'),
    integer(-1),
    integer(-1),
    bytes('K\0tb'),
    fortran ? bytes('\x88') : bytes('\x89'),
    text(data),
    bytes('tb'),
  ]);
}

/** A file: a dict of what was pickled already. */
export function pickledDict(entries: Readonly<Record<string, Buffer>>): Buffer {
  const items = Object.entries(entries).flatMap(([key, value]) => [text(key), value]);
  return Buffer.concat([bytes('\x80\x02}('), ...items, bytes('u.')]);
}

export const names = (values: readonly string[]): Buffer => list(values.map(text));
export const integers = (values: readonly number[]): Buffer => list(values.map(integer));

/** Record r of file f: class r mod classes, red all r, green all f, blue 0, 1, 2 ... */
export function batch(
  spec: CifarSpec,
  count: number,
  f: number,
): { pixels: Buffer; labels: number[] } {
  const pixels = Buffer.alloc(count * 3072);
  for (let r = 0; r < count; r++) {
    const at = r * 3072;
    pixels.fill(r, at, at + 1024).fill(f, at + 1024, at + 2048);
    for (let p = 0; p < 1024; p++) pixels[at + 2048 + p] = p & 255;
  }
  return { pixels, labels: Array.from({ length: count }, (_, r) => r % spec.classes.length) };
}

/** All files of the version in `folder`. */
export function writePythonVersion(spec: CifarSpec, folder: string): void {
  const { train, test, meta, labels: key, names: namesKey } = spec.python;
  mkdirSync(folder, { recursive: true });
  [...train, ...test].forEach((name, f) => {
    const count = test.includes(name) ? spec.recordsPerTestFile : spec.recordsPerTrainFile;
    const { pixels, labels } = batch(spec, count, f);
    const content = pickledDict({
      filenames: names(labels.map((label, i) => `${label}_s_${i}.png`)),
      batch_label: text(name),
      // The other list of labels of CIFAR-100: must not be taken.
      ...(key === 'fine_labels' && { coarse_labels: integers(labels.map(() => 19)) }),
      [key]: integers(labels),
      data: array(pixels, [count, 3072]),
    });
    writeFileSync(join(folder, name), content);
  });
  writeFileSync(join(folder, meta), pickledDict({ [namesKey]: names(spec.classes) }));
}
