// What a file is, told by its content: extensions say little (.bin, .pt, .pth.tar, .safetensors behind which
// a web page lies), and no single byte says anything.
import { maxHeaderBytes } from '../safetensors/header.js';
import { readExactly } from './read.js';
import { describeZip, zipNames } from './zip-names.js';

/**
 * The formats of weights that are read here, and the rest. A zip archive whose directory is too long for a
 * look is a `zip`, so only its reader knows for certain that torch.save did not write it.
 */
export type FileFormat = 'safetensors' | 'torch-zip' | 'torch-legacy' | 'zip' | 'other' | 'unknown';

export interface FileKind {
  readonly format: FileFormat;
  /** For messages, behind "got": `a Git LFS pointer`. */
  readonly what: string;
  /** What to do with such a file, in whole sentences; empty if nothing can be said. */
  readonly advice: string;
}

const headBytes = 4096;

/** The number that torch < 1.6 pickled in front of everything: LONG1 of ten bytes, STOP. */
const legacyMagic = '\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';

const downloadAgain = 'Download the file itself again.';
const saveAgain =
  'Save the weights with torch.save(model.state_dict(), "weights.pt") or as safetensors where they were trained.';

/**
 * @param fd - of an open regular file of `size` bytes
 * @param where - start of messages
 * @throws FormatError if the file was cut short meanwhile
 */
export function kindOfFile(fd: number, size: number, where: string): FileKind {
  const head = Buffer.from(readExactly(fd, 0, Math.min(size, headBytes), where).buffer);
  if (size === 0) {
    return other('an empty file (0 bytes)', 'A download or a copy failed: get the file again.');
  }
  // No zip archive and no pickle passes this: their first eight bytes are a length beyond every file,
  // or their ninth is no "{".
  if (looksLikeSafetensors(head)) {
    return kind('safetensors', 'a safetensors file', 'Read it with loadSafetensors.');
  }
  const bytes = head.toString('latin1');
  if (isLegacy(bytes)) {
    return kind(
      'torch-legacy',
      'a file of torch.save (torch < 1.6)',
      'Read it with loadTorchSave.',
    );
  }
  if (bytes.startsWith('PK\x03\x04') || bytes.startsWith('PK\x05\x06')) {
    return describeZip(zipNames(fd, size, where));
  }
  return bySignature(bytes) ?? byText(head) ?? unknown(head);
}

/** Eight bytes of a length that is allowed, then the header's first character. */
function looksLikeSafetensors(head: Buffer): boolean {
  return head.length > 9 && head.readBigUInt64LE(0) <= maxHeaderBytes && head[8] === 0x7b;
}

/** Protocol 2 to 5, in protocol 4 and 5 inside a frame. */
function isLegacy(bytes: string): boolean {
  if (!/^\x80[\x02-\x05]/.test(bytes)) return false; // eslint-disable-line no-control-regex
  const start = bytes[2] === '\x95' ? 11 : 2;
  return bytes.startsWith(legacyMagic, start);
}

const signatures: readonly (readonly [start: string, what: string, advice: string])[] = [
  ['\x1f\x8b', 'a gzip archive', 'Unpack it with gunzip, or with tar xzf if it is a .tar.gz.'],
  ['BZh', 'a bzip2 archive', 'Unpack it with bunzip2, or with tar xjf if it is a .tar.bz2.'],
  ['\xfd7zXZ\0', 'an xz archive', 'Unpack it with unxz, or with tar xJf if it is a .tar.xz.'],
  ['\x28\xb5\x2f\xfd', 'a Zstandard archive', 'Unpack it with unzstd.'],
  ['\x04\x22\x4d\x18', 'an LZ4 archive', 'Unpack it with unlz4.'],
  ['7z\xbc\xaf\x27\x1c', 'a 7-Zip archive', 'Unpack it with 7z x.'],
  ['Rar!\x1a\x07', 'a RAR archive', 'Unpack it with unrar x.'],
  ['\x89HDF\r\n\x1a\n', 'an HDF5 file (.h5, as Keras and MATLAB write it)', saveAgain],
  ['\x93NUMPY', 'one array of NumPy (.npy)', saveAgain],
  ['GGUF', 'a GGUF file', saveAgain],
  ['\x89PNG\r\n', 'a picture (PNG)', 'Give the file of the weights.'],
  ['\xff\xd8\xff', 'a picture (JPEG)', 'Give the file of the weights.'],
  ['GIF8', 'a picture (GIF)', 'Give the file of the weights.'],
  ['%PDF', 'a PDF document', 'Give the file of the weights.'],
  ['\x7fELF', 'a program (ELF)', 'Give the file of the weights.'],
  ['SQLite format 3', 'an SQLite database', 'Give the file of the weights.'],
];

/** Entries of the archives that torch < 0.1.10 wrote. */
const tarOfTorch = /^(?:\.\/)?(?:sys_info|pickle|tensors|storages)\0/;

function bySignature(bytes: string): FileKind | undefined {
  const found = signatures.find(([start]) => bytes.startsWith(start));
  if (found) return other(found[1], found[2]);
  if (bytes.startsWith('ustar', 257)) {
    return tarOfTorch.test(bytes)
      ? other(
          'the tar format of torch < 0.1.10',
          'Convert it once with Python: torch.save(torch.load("old.pt", map_location="cpu"), "new.pt").',
        )
      : other('a tar archive', 'Unpack it with tar xf, and give the file inside.');
  }
  if (bytes.startsWith('TFL3', 4)) return other('a TensorFlow Lite model', saveAgain);
  // eslint-disable-next-line no-control-regex
  if (/^\x80[\x00-\x05]/.test(bytes)) {
    return pickle();
  }
  return byProtobuf(bytes);
}

/** Protocol buffers have no signature: the first fields of the messages in question. */
function byProtobuf(bytes: string): FileKind | undefined {
  // SavedModel: schema version 1, then a graph; ONNX: an IR version, then who made it, its opsets or its graph.
  if (bytes.startsWith('\x08\x01\x12')) {
    return other('a SavedModel of TensorFlow (.pb)', saveAgain);
  }
  // eslint-disable-next-line no-control-regex
  if (/^\x08[\x01-\x20][\x12\x1a\x22\x3a\x42]/.test(bytes)) {
    return other('an ONNX model', 'Give the checkpoint of PyTorch that it was exported from.');
  }
  // GraphDef: nodes, each with its name and its operator.
  // eslint-disable-next-line no-control-regex
  if (/^\n[^]{1,3}\n[^]{1,2}[\w./-]+\x12[^]\w/.test(bytes)) {
    return other('a graph of TensorFlow (.pb)', saveAgain);
  }
  return undefined;
}

function byText(head: Buffer): FileKind | undefined {
  const text = asText(head);
  if (text === undefined) return undefined;
  if (/^version https:\/\/(?:git-lfs|hawser)\.github\.com\/spec\//.test(text)) {
    return other(
      'a Git LFS pointer, which only stands for the file',
      'Run `git lfs pull` in its repository, or download the file itself.',
    );
  }
  if (/^<(?:!doctype html|html|head|body|title|script)\b/i.test(text)) {
    return other(
      'a web page (HTML)',
      `The address led to a page and not to the file. ${downloadAgain}`,
    );
  }
  if (text.startsWith('<')) {
    return other(
      'an XML text',
      `It may be what a server said in place of the file. ${downloadAgain}`,
    );
  }
  // Protocol 0 is text: a dict or a list with its place in the memo.
  if (/^\([dl]p\d+\n/.test(text)) return pickle();
  if (text.startsWith('{') || text.startsWith('[')) {
    return text.includes('"weight_map"')
      ? other(
          'the index of weights that are split into several files (JSON)',
          'Join them into one file with Python, and give that.',
        )
      : other('a JSON text', 'Give the file of the weights, which often lies beside it.');
  }
  const line = text.split(/[\r\n]/, 1)[0] ?? '';
  return other(
    `a text beginning with ${JSON.stringify(line.length > 40 ? `${line.slice(0, 40)}...` : line)}`,
    `It is no file of weights. ${downloadAgain}`,
  );
}

/** UTF-8 without control characters, from its first visible character on. */
function asText(head: Buffer): string | undefined {
  try {
    // The last character may be cut.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    // eslint-disable-next-line no-control-regex
    if (/[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]/.test(text)) return undefined;
    const visible = text.trimStart();
    return visible === '' ? undefined : visible;
  } catch {
    return undefined;
  }
}

function pickle(): FileKind {
  return other(
    'a Python pickle, but none of torch.save',
    'Convert it once with Python: torch.save(pickle.load(open("old.pkl", "rb")), "new.pt").',
  );
}

function unknown(head: Buffer): FileKind {
  return kind(
    'unknown',
    `a file beginning with the bytes ${head.toString('hex', 0, 8)}`,
    'The file is damaged, or of a kind that is not known here.',
  );
}

function kind(format: FileFormat, what: string, advice: string): FileKind {
  return { format, what, advice };
}

function other(what: string, advice: string): FileKind {
  return kind('other', what, advice);
}
