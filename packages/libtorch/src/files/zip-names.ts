// What kind of zip archive a file is, by the names of its entries.
import type { FileKind } from './kind.js';
import { readExactly } from './read.js';

/** An archive ends with a record of 22 bytes and a comment of at most 64 KiB. */
const tailBytes = 65_557;
/** Names of tens of thousands of entries; more would tell nothing new. */
const directoryBytes = 4 * 1024 * 1024;

const directoryEnd = 'PK\x05\x06';
const directoryEntry = Buffer.from('PK\x01\x02', 'latin1');
const directoryEntryBytes = 46;

/**
 * Names of the entries of a zip archive, as far as they can be read: this names files in messages, and the
 * reader of archives looks at everything.
 */
export function zipNames(fd: number, size: number, where: string): string[] {
  const start = Math.max(0, size - tailBytes);
  const tail = Buffer.from(readExactly(fd, start, size - start, where).buffer);
  const end = tail.lastIndexOf(directoryEnd, undefined, 'latin1');
  if (end < 0 || end + 22 > tail.length) return [];
  const bytes = tail.readUInt32LE(end + 12);
  const position = tail.readUInt32LE(end + 16);
  // An archive beyond 4 GiB says so elsewhere; its directory begins in the tail or before.
  const from = position + bytes <= size ? position : start;
  const length = Math.min(size - from, directoryBytes);
  return namesIn(Buffer.from(readExactly(fd, from, length, where).buffer));
}

function namesIn(directory: Buffer): string[] {
  const names: string[] = [];
  for (
    let at = directory.indexOf(directoryEntry);
    at >= 0;
    at = directory.indexOf(directoryEntry, at)
  ) {
    if (at + directoryEntryBytes > directory.length) break;
    const length = directory.readUInt16LE(at + 28);
    names.push(
      directory.toString('utf8', at + directoryEntryBytes, at + directoryEntryBytes + length),
    );
    at += directoryEntryBytes + length;
  }
  return names;
}

const pickleName = /^[^/]+\/data\.pkl$/;

/** The folders that hold a data.pkl, each with its slash. */
export function torchRoots(names: readonly string[]): string[] {
  return names
    .filter((name) => pickleName.test(name))
    .map((name) => name.slice(0, -'data.pkl'.length));
}

/** What an archive with such entries is. */
export function describeZip(names: readonly string[]): FileKind {
  const [root, ...more] = torchRoots(names);
  const has = (test: (name: string) => boolean): boolean => names.some(test);
  if (
    has((name) => /^(?:[^/]+\/)?(?:archive_format|serialized_exported_program\.\w+)$/.test(name))
  ) {
    return other(
      'a program of torch.export',
      'Convert it once with Python: torch.save(torch.export.load("old.pt2").state_dict, "new.pt").',
    );
  }
  if (has((name) => name.includes('.data/extern_modules'))) {
    return other(
      'an archive of torch.package (a program)',
      'Save the state_dict() of the model in it with torch.save.',
    );
  }
  if (root !== undefined) {
    if (has((name) => name === `${root}constants.pkl` || name.startsWith(`${root}code/`))) {
      return other(
        'a TorchScript archive (a program)',
        'Convert it once with Python: torch.save(torch.jit.load("old.pt", map_location="cpu").state_dict(), "new.pt").',
      );
    }
    if (more.length === 0) {
      return {
        format: 'torch-zip',
        what: 'a file of torch.save',
        advice: 'Read it with loadTorchSave.',
      };
    }
  }
  if (names.length > 0 && names.every((name) => name.endsWith('.npy'))) {
    return other(
      'an archive of NumPy arrays (.npz)',
      'Convert it once with Python: torch.save(dict(numpy.load("old.npz")), "new.pt").',
    );
  }
  if (has((name) => name.endsWith('.weights.h5') || name === 'keras_metadata.pb')) {
    return other('a model of Keras', 'Save the weights of a PyTorch model.');
  }
  if (has((name) => name === '[Content_Types].xml')) {
    return other('an Office document', 'Give the file of the weights.');
  }
  const shown = names.filter((name) => !name.endsWith('/')).slice(0, 3);
  const list = shown.map((name) => JSON.stringify(name.slice(0, 60))).join(', ');
  if (names.length === 0) {
    return other(
      'a zip archive whose directory cannot be read, or an empty one',
      'The file is truncated or damaged; copy it again.',
    );
  }
  return other(
    `a zip archive that torch.save did not write (it holds ${list}${names.length > shown.length ? ', ...' : ''})`,
    'Unpack it with unzip, and give the file inside.',
  );
}

function other(what: string, advice: string): FileKind {
  return { format: 'zip', what, advice };
}
