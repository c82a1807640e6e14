import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave } from '../index.js';
import { readTorchSaveFile, TorchSaveFile } from './read.js';
import { TorchTensor } from './torch-tensor.js';
import {
  floats,
  int64,
  keys,
  machine,
  magic,
  start,
  structure,
  text,
  version,
} from './testing/write-legacy.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'legacy-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Writes bytes to a file of its own. */
function file(name: string, ...parts: (Buffer | string)[]): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
    ),
  );
  return path;
}

describe('the format of torch < 1.6', () => {
  it('is read, with views over one storage', async () => {
    const tensors = await loadTorchSave(fixture('legacy-views.pt'));
    const numbers = Object.fromEntries(
      Array.from(tensors, ([name, tensor]) => [name, tensor.toNumbers()]),
    );
    expect(numbers).toEqual({
      base: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
      transposed: [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11],
      row: [4, 5, 6, 7],
      column: [2, 6, 10],
      half: [4, 5, 6, 7],
      count: [7],
      parameter: [0, 1, 2, 3],
    });
    expect(tensors.get('half')?.dtype).toBe('float16');
    expect(tensors.get('transposed')?.shape).toEqual([4, 3]);
  });

  it('is read without keeping the file open, and piece by piece', async () => {
    const value = await readTorchSaveFile(fixture('legacy.pt'));
    const w = value instanceof Map ? value.get('w') : undefined;
    expect(w).toBeInstanceOf(TorchTensor);
    expect([...new BigInt64Array((w as TorchTensor).read().buffer)]).toEqual([0n, 1n, 2n]);
    const open = await TorchSaveFile.open(fixture('legacy.pt'));
    open.close();
    const closed = open.value instanceof Map ? open.value.get('w') : undefined;
    expect(() => (closed as TorchTensor).read()).toThrow('the file is closed');
  });

  it('may have storages that are parts of others, as before torch 0.4', async () => {
    const part = `(${text('view')}K\x02K\x03t`; // from element 2 on
    const path = file(
      'part.pt',
      start,
      structure('K\x05', { part }),
      keys('0'),
      int64(5n),
      floats(0, 1, 2, 3, 4),
    );
    expect((await loadTorchSave(path)).get('w')?.toNumbers()).toEqual([2, 3]);
  });

  it("may have parameters as torchvision's first weights have them", async () => {
    const tensor = structure('K\x02')
      .slice(2, -2)
      .replace(`}${text('w')}`, '');
    const flags = '\x88\x89N\x87b'; // requires_grad, volatile, hooks
    const pickle = `\x80\x02}${text('w')}ctorch.nn.parameter\nParameter\n${tensor}\x85R${flags}s.`;
    const path = file('first.pth', start, pickle, keys('0'), int64(2n), floats(1, 2));
    expect((await loadTorchSave(path)).get('w')?.toNumbers()).toEqual([1, 2]);
  });

  it('goes on behind what is read at first', async () => {
    // A text of 1 MB among the tensors: the pickle is longer than the first part that is read of it.
    const long = Buffer.alloc(1_000_000, 'x');
    const head = Buffer.from('X\0\0\0\0', 'latin1');
    head.writeUInt32LE(long.length, 1);
    const pickle = structure('K\x02');
    const path = file(
      'long.pt',
      start,
      pickle.slice(0, 3),
      text('note'),
      head,
      long,
      's',
      pickle.slice(3),
      keys('0'),
      int64(2n),
      floats(1, 2),
    );
    expect((await loadTorchSave(path)).get('w')?.toNumbers()).toEqual([1, 2]);
  });

  const wrong: [what: string, parts: (Buffer | string)[], message: string][] = [
    ['another version', [magic, '\x80\x02K\x07.'], 'got the number 7 as the version'],
    ['big-endian storages', [magic, version, machine.replace('\x88', '\x89')], 'big-endian'],
    [
      '2^60 elements',
      [start, structure(`\x8a\x08${'\0'.repeat(7)}\x10`)],
      'the bigint 1152921504606846976 elements',
    ],
    [
      '2^50 elements',
      [start, structure(`\x8a\x07${'\0'.repeat(6)}\x04`)],
      'storage "0" of 4503599627370496 bytes in a file of',
    ],
    ['fewer than no elements', [start, structure('J\xff\xff\xff\xff')], 'the number -1 elements'],
    [
      '2^60 elements in front of a storage',
      [start, structure('K\x02'), keys('0'), int64(2n ** 60n), floats(1, 2)],
      'got 1152921504606846976 elements, expected the 2',
    ],
    [
      '-1 elements in front of a storage',
      [start, structure('K\x02'), keys('0'), int64(-1n), floats(1, 2)],
      'got -1 elements',
    ],
    [
      'a storage that ends early',
      [start, structure('K\x02'), keys('0'), int64(2n), floats(1)],
      'The file is truncated',
    ],
    [
      'a storage without a place',
      [start, structure('K\x02'), keys(), int64(2n), floats(1, 2)],
      'no storage "0"',
    ],
    [
      'a place without a storage',
      [start, structure('K\x02'), keys('0', '1'), int64(2n), floats(1, 2), int64(0n)],
      'no tensor asked for',
    ],
    [
      'a storage with two places',
      [start, structure('K\x02'), keys('0', '0'), int64(2n), floats(1, 2), int64(2n), floats(1, 2)],
      'no tensor asked for',
    ],
    [
      'a tensor behind its storage',
      [start, structure('K\x02', { offset: 'K\x01' }), keys('0')],
      'ends at byte 12',
    ],
    [
      'a part behind the storage',
      [start, structure('K\x02', { part: `(${text('v')}K\x01K\x02t` }), keys('0')],
      'ends at byte 12',
    ],
    ['no structure', [start], 'the end of the pickle'],
    ['no keys', [start, structure('K\x02')], 'the end of the pickle'],
  ];
  it.each(wrong)('is refused with %s', async (_, parts, message) => {
    const path = file('wrong.pt', ...parts);
    await expect(readTorchSaveFile(path)).rejects.toThrow(FormatError);
    await expect(readTorchSaveFile(path)).rejects.toThrow(message);
    await expect(readTorchSaveFile(path)).rejects.toThrow(`readTorchSave "${path}"`);
  });

  it('runs no code', async () => {
    const evil = `\x80\x02cposix\nsystem\n${text('exit 1')}\x85R.`;
    const path = file('evil.pt', start, evil, keys());
    await expect(readTorchSaveFile(path)).rejects.toThrow('"posix.system"');
    const value = await readTorchSaveFile(path, { onUnknownGlobal: 'placeholder' });
    expect(value).toMatchObject({ global: 'posix.system', args: ['exit 1'] });
  });

  it('is refused wherever it is cut', async () => {
    const good = readFileSync(fixture('legacy-views.pt'));
    for (let length = 0; length < good.length; length += 7) {
      const path = file('cut.pt', good.subarray(0, length));
      await expect(readTorchSaveFile(path), String(length)).rejects.toThrow(FormatError);
    }
  });

  it('gives nothing but FormatErrors where it is changed at random', async () => {
    const names = ['legacy-views.pt', 'legacy-module.pt', 'legacy-numpy.pt'];
    let state = 4321;
    const pick = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    let refused = 0;
    for (let round = 0; round < 300; round += 1) {
      const bytes = readFileSync(fixture(names[round % names.length] ?? ''));
      for (let k = pick(4); k >= 0; k -= 1) bytes[pick(bytes.length)] = pick(256);
      const path = file('fuzz.pt', bytes);
      try {
        await loadTorchSave(path, { onUnknownGlobal: round % 2 === 0 ? 'refuse' : 'placeholder' });
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
