import { constants } from 'node:buffer';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FormatError } from '../errors.js';
import { quoted } from './header.js';
import { readSafetensorsFile, SafetensorsFile } from './read.js';
import { type SafetensorsEntry, writeSafetensorsFile } from './write.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
  path = join(folder, 'x.safetensors');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const bytes = (...values: number[]) => new Uint8Array(values);
const floats = (...values: number[]) => new Uint8Array(new Float32Array(values).buffer);

/** A file put together by hand: the header as given, so that it may be wrong. */
function writeRaw(header: string | Uint8Array, data: Uint8Array = bytes(), length?: bigint): void {
  const text = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  writeFileSync(path, Buffer.concat([prefix, text, data]));
}

function tensor(begin: number, end: number, shape = `[${end - begin}]`, dtype = 'U8'): string {
  return `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
}

/** The message with which reading fails. It must be a FormatError that names the file. */
function refusal(): string {
  try {
    readSafetensorsFile(path);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    const { message } = error as FormatError;
    expect(message).toContain(`readSafetensors "${path}"`);
    return message;
  }
  throw new Error('the file was read, expected a refusal');
}

describe('writing and reading safetensors', () => {
  const entries: SafetensorsEntry[] = [
    { name: 'b', dtype: 'F32', shape: [2, 2], data: floats(1, -2, 0.5, 4) },
    { name: 'a.weight', dtype: 'U8', shape: [3], data: bytes(7, 8, 9) },
    { name: '10', dtype: 'F64', shape: [], data: new Uint8Array(new Float64Array([2.5]).buffer) },
    { name: '9', dtype: 'BOOL', shape: [0, 4], data: bytes() },
    { name: '__proto__', dtype: 'I16', shape: [1], data: bytes(1, 2) },
    { name: 'grüße "x"\n', dtype: 'BF16', shape: [1, 1], data: () => bytes(3, 4) },
  ];

  it('gives back every tensor, in the order written, and the metadata', () => {
    writeSafetensorsFile(path, entries, { format: 'pt', mamba_prune: '{"a":1}', __proto__x: '' });
    const file = SafetensorsFile.open(path);
    expect(file.metadata).toEqual({ format: 'pt', mamba_prune: '{"a":1}', __proto__x: '' });
    // The empty tensor stands between two others at the same place; its order there is kept.
    expect(file.names()).toEqual(entries.map(({ name }) => name));
    expect(file.info('b')).toEqual({ dtype: 'F32', shape: [2, 2], byteLength: 16 });
    expect(file.info('10')).toEqual({ dtype: 'F64', shape: [], byteLength: 8 });
    expect(file.has('b')).toBe(true);
    expect(file.has('c')).toBe(false);
    for (const { name, data } of entries) {
      expect(file.read(name)).toEqual(typeof data === 'function' ? data() : data);
    }
    expect([...new Float64Array(file.read('10').buffer)]).toEqual([2.5]);
    file.close();
    file.close();
    expect(() => file.read('b')).toThrow('the file is closed');
  });

  it('writes exactly the bytes that the format prescribes', () => {
    writeSafetensorsFile(path, [{ name: 'x', dtype: 'U8', shape: [2], data: bytes(1, 2) }], {
      k: 'v',
    });
    const header =
      '{"__metadata__":{"k":"v"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}  ';
    expect(header.length % 8).toBe(0);
    expect(readFileSync(path).toString('latin1')).toBe(
      `${String.fromCharCode(header.length)}${'\0'.repeat(7)}${header}\u0001\u0002`,
    );
  });

  it('writes and reads a file without tensors', () => {
    writeSafetensorsFile(path, []);
    expect(readFileSync(path).subarray(8).toString()).toBe('{}      ');
    expect(readSafetensorsFile(path)).toEqual({ tensors: [], metadata: {} });
  });

  it('asks for the data of one tensor at a time, when its turn comes', () => {
    const asked: string[] = [];
    const lazy = ['x', 'y'].map((name): SafetensorsEntry => ({
      name,
      dtype: 'U8',
      shape: [1],
      data: () => {
        asked.push(name);
        return bytes(asked.length);
      },
    }));
    writeSafetensorsFile(path, lazy);
    expect(asked).toEqual(['x', 'y']);
    expect([...readSafetensorsFile(path).tensors.map(({ data }) => data[0])]).toEqual([1, 2]);
  });

  it('reads single tensors of a file far larger than what it reads', () => {
    // 5 GiB of holes on the disk: reading all of it would take long, and no buffer can hold it.
    const big = 5 * 1024 ** 3;
    writeRaw(`{"big":${tensor(0, big)},"end":${tensor(big, big + 4)}}`);
    const start = statSync(path).size;
    truncateSync(path, start + big + 4);
    const file = SafetensorsFile.open(path);
    expect(file.info('big').byteLength).toBe(big);
    expect(file.read('end')).toEqual(bytes(0, 0, 0, 0));
    // Larger than any buffer of Node 20; newer versions would really read it.
    if (constants.MAX_LENGTH < big) expect(() => file.read('big')).toThrow(FormatError);
    file.close();
  });

  it('says so when the file is cut short after it was opened', () => {
    writeSafetensorsFile(path, entries);
    const file = SafetensorsFile.open(path);
    truncateSync(path, statSync(path).size - 1);
    expect(() => file.read('grüße "x"\n')).toThrow('the file ended after 1 of 2 bytes');
    file.close();
  });

  it('lists what there is when a tensor is not in the file', () => {
    writeSafetensorsFile(path, entries.slice(0, 2));
    const file = SafetensorsFile.open(path);
    expect(() => file.read('c')).toThrow('no tensor "c"; the file has 2: "b", "a.weight".');
    file.close();
  });
});

describe('writeSafetensorsFile refuses', () => {
  const entry: SafetensorsEntry = { name: 'x', dtype: 'F32', shape: [1], data: floats(1) };
  const cases: [what: string, message: string, entries: unknown[], metadata?: unknown][] = [
    ['two tensors of one name', '"x" twice', [entry, entry]],
    ['the reserved name', 'reserves', [{ ...entry, name: '__metadata__' }]],
    ['too few bytes', 'has 3 bytes, expected 4 for F32 [1]', [{ ...entry, data: bytes(1, 2, 3) }]],
    [
      'too many bytes, asked for late',
      'has 5 bytes',
      [{ ...entry, data: () => new Uint8Array(5) }],
    ],
    ['an unknown dtype', 'dtype "U16", expected one of F64', [{ ...entry, dtype: 'U16' }]],
    ['a negative size', 'shape [-1]', [{ ...entry, shape: [-1] }]],
    ['a broken size', 'shape [0.5]', [{ ...entry, shape: [0.5] }]],
    ['a shape beyond all bounds', 'shape', [{ ...entry, shape: [2 ** 52, 2 ** 52] }]],
    ['metadata that is no text', 'metadata "n" is a number', [entry], { n: 1 }],
    ['half a surrogate pair', 'surrogate', [{ ...entry, name: '\ud800' }]],
  ];
  it.each(cases)('%s, leaving the old file', (_, message, list, metadata) => {
    writeFileSync(path, 'old');
    const write = () => {
      writeSafetensorsFile(path, list as SafetensorsEntry[], metadata as Record<string, string>);
    };
    expect(write).toThrow(FormatError);
    expect(write).toThrow(message);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['x.safetensors']);
  });
});

describe('reading refuses', () => {
  it('a file shorter than its first field', () => {
    writeFileSync(path, bytes(1, 2, 3));
    expect(refusal()).toContain('got 3 bytes, expected at least 8');
  });

  it('a folder', () => {
    path = folder;
    expect(refusal()).toContain('got a folder');
  });

  it('a header beyond 100 MB without reading it', () => {
    writeRaw('{}', bytes(), 2n ** 63n);
    expect(refusal()).toContain('got a header of 9223372036854775808 bytes');
  });

  it('a file cut inside the header', () => {
    writeRaw('{"a"', bytes(), 100n);
    expect(refusal()).toContain('got 12 bytes, expected at least 108');
  });

  it('a header that is not UTF-8', () => {
    writeRaw(Buffer.from([0x7b, 0xff, 0x7d]));
    expect(refusal()).toContain('not UTF-8');
  });

  const wrongHeaders: [what: string, header: string, message: string][] = [
    ['an empty header', '', 'got the end of the header, expected "{"'],
    ['white space in front', ' {}', 'expected "{"'],
    ['a byte order mark', '\ufeff{}', 'expected "{"'],
    ['a list', '[]', 'expected "{"'],
    ['text behind the header', '{}x', 'behind the closing "}"'],
    ['no end', '{', 'a key: got the end of the header'],
    ['a comma at the end', `{"a":${tensor(0, 1)},}`, 'a key: got "}"'],
    ['a key without quotes', '{a:1}', 'a key: got "a:1}"'],
    ['a missing colon', '{"a" 1}', 'expected ":"'],
    ['a string without end', '{"a', 'the string has no end'],
    ['a wrong escape', '{"\\x":1}', 'not a valid JSON string'],
    ['a tensor that is no object', '{"a":1}', 'expected "{"'],
    ['a name twice', `{"a":${tensor(0, 1)},"a":${tensor(0, 1)}}`, 'tensor "a" appears twice'],
    [
      'a name twice, once escaped',
      `{"a":${tensor(0, 1)},"\\u0061":${tensor(0, 1)}}`,
      'tensor "a" appears twice',
    ],
    ['metadata twice', '{"__metadata__":{},"__metadata__":{}}', 'appears twice'],
    ['a metadata key twice', '{"__metadata__":{"a":"","a":""}}', 'metadata key "a" appears twice'],
    ['metadata that is no text', '{"__metadata__":{"a":1}}', 'metadata "a": got "1}}"'],
    ['a tensor without dtype', '{"a":{"shape":[],"data_offsets":[0,1]}}', 'has no dtype'],
    ['a tensor without shape', '{"a":{"dtype":"U8","data_offsets":[0,1]}}', 'has no shape'],
    ['a tensor without offsets', '{"a":{"dtype":"U8","shape":[]}}', 'has no data_offsets'],
    ['a key of a tensor twice', '{"a":{"dtype":"U8","dtype":"U8"}}', 'has the key "dtype" twice'],
    ['an unknown key of a tensor', '{"a":{"strides":[1]}}', 'has the key "strides"'],
    ['a dtype that is no text', '{"a":{"dtype":1}}', 'dtype of tensor "a": got "1}}"'],
    ['one offset', '{"a":{"data_offsets":[0]}}', 'expected two integers'],
    ['three offsets', '{"a":{"data_offsets":[0,1,2]}}', 'expected two integers'],
    ['a negative size', `{"a":${tensor(0, 1, '[-1]')}}`, 'got -1, expected integers'],
    ['a size with a fraction', `{"a":${tensor(0, 1, '[1.5]')}}`, 'got 1.5, expected integers'],
    ['a size with an exponent', `{"a":${tensor(0, 1, '[1e3]')}}`, 'got 1e3, expected integers'],
    ['a size with a zero in front', `{"a":${tensor(0, 1, '[01]')}}`, 'got 01, expected integers'],
    ['a size beyond 2^53', `{"a":${tensor(0, 1, '[9007199254740992]')}}`, 'at most 2^53 - 1'],
    ['a nested shape', `{"a":${tensor(0, 1, '[[1]]')}}`, 'expected integers'],
    ['65 dimensions', `{"a":${tensor(0, 1, `[${'1,'.repeat(64)}1]`)}}`, 'at most 64 numbers'],
    [
      'a product that overflows',
      `{"a":${tensor(0, 1, '[94906267,94906267,0]')}}`,
      'expected fewer than 2^53 bytes',
    ],
    ['an element type of others', `{"a":${tensor(0, 1, '[1]', 'F8_E4M3')}}`, 'got dtype "F8_E4M3"'],
    ['offsets backwards', `{"a":${tensor(1, 0, '[1]')}}`, 'got data_offsets [1, 0] = -1 bytes'],
    ['a length that does not fit', `{"a":${tensor(0, 1, '[2]')}}`, 'expected 2 bytes for U8 [2]'],
    ['a hole', `{"a":${tensor(1, 4)}}`, 'bytes belong to no tensor'],
    ['an overlap', `{"a":${tensor(0, 3)},"b":${tensor(2, 4)}}`, 'tensors overlap'],
    ['tensors beyond the end', `{"a":${tensor(0, 5)}}`, 'the file is truncated'],
    ['bytes behind the tensors', `{"a":${tensor(0, 3)}}`, 'bytes behind the last tensor'],
  ];
  it.each(wrongHeaders)('%s', (_, header, message) => {
    writeRaw(header, bytes(1, 2, 3, 4));
    expect(refusal()).toContain(message);
  });

  it('megabytes of brackets at the first one', () => {
    writeRaw(Buffer.concat([Buffer.from('{"a":{"shape":'), Buffer.alloc(8_000_000, '[')]));
    expect(refusal()).toContain('character 15: shape of tensor "a": got "[[[[[[[[[[[["');
  });
});

describe('a damaged file', () => {
  /** Small, seeded, good enough to choose bytes (mulberry32). */
  function random(seed: number): () => number {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  it('is either read or refused with a FormatError, whatever is changed', () => {
    writeSafetensorsFile(
      path,
      [
        { name: 'a', dtype: 'F32', shape: [2, 3], data: new Uint8Array(24) },
        { name: 'b', dtype: 'I64', shape: [], data: new Uint8Array(8) },
        { name: 'c', dtype: 'BOOL', shape: [5], data: new Uint8Array(5) },
      ],
      { note: 'x' },
    );
    const good = readFileSync(path);
    const next = random(1);
    const pick = (n: number) => Math.floor(next() * n);
    const outcome = { read: 0, refused: 0 };
    for (let round = 0; round < 800; round += 1) {
      let bad = Buffer.from(good);
      for (let k = pick(3); k >= 0; k -= 1) {
        const at = pick(bad.length);
        const kind = pick(8); // mostly single bytes, which leave the file readable more often
        if (kind < 5) bad[at] = pick(256);
        else if (kind === 5) bad[at] = '{}[]",:0129-.e\\ '.charCodeAt(pick(16));
        else if (kind === 6) bad = Buffer.from(bad.subarray(0, at));
        else bad = Buffer.concat([bad.subarray(0, at), bad.subarray(pick(bad.length))]);
        if (bad.length === 0) break;
      }
      writeFileSync(path, bad);
      try {
        const { tensors } = readSafetensorsFile(path);
        for (const { data } of tensors) expect(data.length).toBeLessThanOrEqual(bad.length);
        outcome.read += 1;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        outcome.refused += 1;
      }
    }
    // Both happen, so the changes reach far enough. Changes inside the data cannot be noticed: the format has no checksum.
    expect(outcome.refused).toBeGreaterThan(250);
    expect(outcome.read).toBeGreaterThan(25);
  });
});

it('a name in a message is shown, and not obeyed', () => {
  const name = 'a\x1b[31m\n\x7f\x9b\u202e\u2028';
  expect(quoted(name)).toBe(String.raw`"a\u001b[31m\n\u007f\u009b\u202e\u2028"`);
});
