import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError } from '../errors.js';
import { loadSafetensors, loadTorchSave } from '../state-dict.js';
import { storedZip } from '../torch-save/testing/write-archive.js';
import { kindOfFile } from './kind.js';
import { openRegularFile } from './read.js';

const folder = mkdtempSync(join(tmpdir(), 'kind-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(content: Buffer | string): string {
  const path = join(folder, 'file.pt');
  writeFileSync(path, typeof content === 'string' ? Buffer.from(content, 'latin1') : content);
  return path;
}

function kindOf(path: string): ReturnType<typeof kindOfFile> {
  const { fd, size } = openRegularFile(path, path);
  try {
    return kindOfFile(fd, size, path);
  } finally {
    closeSync(fd);
  }
}

/** A safetensors file with one tensor, whose header has so many bytes. */
function safetensors(headerBytes: number): Buffer {
  const json = '{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerBytes));
  return Buffer.concat([length, Buffer.from(json.padEnd(headerBytes)), Buffer.from([7, 9])]);
}

const zip = (...names: string[]): Buffer =>
  storedZip(names.map((name) => [name, Buffer.from('x')] as const));

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../torch-save/fixtures/${name}`, import.meta.url));

describe('kindOfFile', () => {
  it('takes a safetensors file for one whatever the bytes of its length are', () => {
    // 0x80 begins a pickle, "PK" an archive, 0x1f8b gzip, "BZ" bzip2, 0x0a and 0x08 protocol buffers, "{" JSON.
    const lengths = [0x80, 0x280, 0x4b50, 0x8b1f, 0x5a42, 0x20a, 0x108, 0x208, 0x7b, 0x3c];
    for (const length of [...lengths, ...Array.from({ length: 256 }, (_, low) => 0x100 + low)]) {
      const path = file(safetensors(length));
      expect(kindOf(path).format, String(length)).toBe('safetensors');
      expect(loadSafetensors(path).tensors.get('x')?.toNumbers()).toEqual([7, 9]);
    }
  });

  it('knows the formats of torch.save', () => {
    for (const name of ['tensors.pt', 'checkpoint.pt', 'protocol-5.pt']) {
      expect(kindOf(fixture(name)).format).toBe('torch-zip');
    }
    for (const name of ['legacy.pt', 'legacy-module.pt', 'legacy-numpy.pt']) {
      expect(kindOf(fixture(name)).format).toBe('torch-legacy');
    }
    // An archive of which only the reader can know: its directory is not found at a look.
    expect(kindOf(file('PK\x03\x04 nothing more')).format).toBe('zip');
  });

  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 22000000\n';
  const kinds: [what: string, content: Buffer | string, message: RegExp][] = [
    ['an empty file', '', /^an empty file.*get the file again/],
    ['a Git LFS pointer', pointer, /^a Git LFS pointer.*git lfs pull/],
    ['a web page', '<!DOCTYPE html><html>404</html>', /^a web page \(HTML\).*Download/],
    ['a web page with white space', '\n  <HTML lang="en">', /^a web page/],
    ['a web page with a byte order mark', '\xef\xbb\xbf<html>', /^a web page/],
    ["a server's answer", '<?xml version="1.0"?><Error/>', /^an XML text.*server/],
    ['a JSON text', '{"architectures": ["ViT"]}', /^a JSON text/],
    ['an index', '{"metadata": {}, "weight_map": {}}', /^the index of weights.*several files/],
    ['a text', 'Entry not found', /^a text beginning with "Entry not found"/],
    ['gzip', gzipSync('x'), /^a gzip archive.*gunzip/],
    ['bzip2', 'BZh91AY&SY', /^a bzip2 archive.*bunzip2/],
    ['xz', '\xfd7zXZ\0\0', /^an xz archive.*unxz/],
    ['Zstandard', '\x28\xb5\x2f\xfd\x04', /^a Zstandard archive/],
    ['7-Zip', "7z\xbc\xaf'\x1c", /^a 7-Zip archive/],
    ['tar', Buffer.from('a.pth'.padEnd(257, '\0') + 'ustar'.padEnd(255, '\0')), /^a tar archive/],
    [
      'tar of torch < 0.1.10',
      Buffer.from('./sys_info'.padEnd(257, '\0') + 'ustar'.padEnd(255, '\0')),
      /torch < 0\.1\.10.*torch\.save\(torch\.load/,
    ],
    ['HDF5', '\x89HDF\r\n\x1a\n\0\0', /^an HDF5 file/],
    ['one array', '\x93NUMPY\x01\0v\0', /^one array of NumPy/],
    ['ONNX', '\x08\x07\x12\x07pytorch\x1a\x061.13.0', /^an ONNX model.*exported from/],
    ['a SavedModel', '\x08\x01\x12\xd4\x8a\x01\n\x10', /^a SavedModel of TensorFlow/],
    ['a GraphDef', '\n4\n\x05input\x12\x0bPlaceholder', /^a graph of TensorFlow/],
    ['TensorFlow Lite', ' \0\0\0TFL3\0\0', /^a TensorFlow Lite model/],
    ['GGUF', 'GGUF\x03\0\0\0', /^a GGUF file/],
    ['a picture', '\x89PNG\r\n\x1a\n', /^a picture/],
    ['a pickle', '\x80\x04\x95\x05\0\0\0\0\0\0\0}.', /^a Python pickle, but none of torch\.save/],
    ['a pickle of protocol 0', "(dp0\nS'a'\n", /^a Python pickle/],
    ['NumPy arrays', zip('a.npy', 'b.npy'), /^an archive of NumPy arrays \(\.npz\).*numpy\.load/],
    ['TorchScript', zip('m/data.pkl', 'm/code/a.py', 'm/constants.pkl'), /^a TorchScript archive/],
    ['torch.package', zip('m/.data/extern_modules', 'm/data.pkl'), /^an archive of torch\.package/],
    ['torch.export', zip('m/archive_format', 'm/models/model.json'), /^a program of torch\.export/],
    ['Keras', zip('config.json', 'model.weights.h5'), /^a model of Keras/],
    [
      'another archive',
      zip('d/', 'd/a.pth'),
      /^a zip archive that torch\.save did not.*"d\/a\.pth".*unzip/,
    ],
    ['other bytes', '\x01\x02\x03\xff', /^a file beginning with the bytes 010203ff/],
  ];
  it.each(kinds)('names %s, and both readers refuse it so', async (_, content, message) => {
    const path = file(content);
    const { what, advice } = kindOf(path);
    expect(`${what}. ${advice}`).toMatch(message);
    await expect(loadTorchSave(path)).rejects.toThrow(FormatError);
    await expect(loadTorchSave(path)).rejects.toThrow(`"${path}": got ${what}`);
    expect(() => loadSafetensors(path)).toThrow(FormatError);
    if (kindOf(path).format !== 'unknown') {
      expect(() => loadSafetensors(path)).toThrow(
        `"${path}": got ${what}, which is not safetensors`,
      );
    }
  });

  it('has each reader name the other one', async () => {
    expect(() => loadSafetensors(fixture('tensors.pt'))).toThrow(
      /got a file of torch\.save, which is not safetensors\. Read it with loadTorchSave/,
    );
    expect(() => loadSafetensors(fixture('legacy.pt'))).toThrow(/torch < 1\.6.*loadTorchSave/);
    await expect(loadTorchSave(file(safetensors(80)))).rejects.toThrow(
      /got a safetensors file, expected a file that torch\.save wrote\. Read it with loadSafetensors/,
    );
  });
});
