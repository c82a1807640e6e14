/** Where the files of CIFAR are: in a folder, or in the archive as it was downloaded. */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CifarPython, CifarSpec, CifarVersion } from './cifar-spec.js';
import { DataError, reasonOf } from './errors.js';
import { readWhole, statRegular } from './read-whole.js';
import { eachTarEntry } from './tar-entries.js';

export const side = 32;
export const imagePixels = 3 * side * side;

/** The version that was found, and where. */
export type CifarLocation = { kind: 'folder' | 'archive'; path: string } & (
  { isPython: false; version: CifarVersion } | { isPython: true; version: CifarPython }
);

/** Where the versions are that are in a folder: the one to read first. */
export interface CifarFound {
  readonly location: CifarLocation;
  /** The other version, which is there as well. */
  readonly other?: CifarLocation;
}

/** Of a binary file with so many records. */
export const bytesOf = (spec: CifarSpec, records: number): number =>
  records * (spec.labelBytes + imagePixels);

/** What to do about a bad file. */
export function redo(spec: CifarSpec, { isPython, version }: CifarLocation): string {
  return isPython
    ? `Delete it and download ${version.url} again, or run "mamba-prune data get ${spec.name}" for the binary version.`
    : `Delete it and run "mamba-prune data get ${spec.name}" again.`;
}

const wrongSize = (
  spec: CifarSpec,
  location: CifarLocation,
  path: string,
  got: number,
  expected: number,
): string => `${path}: got ${got} bytes, expected ${expected}. ${redo(spec, location)}`;

/**
 * Folders before archives, the binary version before the other one.
 * @throws DataError if there is neither
 */
export function findCifar(spec: CifarSpec, dir: string): CifarFound {
  const binary = { isPython: false, version: spec } as const;
  const python = { isPython: true, version: spec.python } as const;
  const found = [
    folderOf(binary, dir),
    folderOf(python, dir),
    archiveOf(binary, dir),
    archiveOf(python, dir),
  ];
  const [location, ...rest] = found.filter((place) => place !== undefined);
  if (location === undefined) {
    throw new DataError(
      `openDataset "${spec.name}": found no ${spec.title} binary version or python version in ${dir}, expected ` +
        `${spec.folder}/${spec.train[0] ?? ''} or ${spec.archive}, or ` +
        `${spec.python.folder}/${spec.python.train[0] ?? ''} or ${spec.python.archive}. ` +
        `Run "mamba-prune data get ${spec.name} --data ${dir}" or download ${spec.url} into it.`,
      { file: dir },
    );
  }
  const other = rest.find(({ isPython }) => isPython !== location.isPython);
  return other ? { location, other } : { location };
}

type Version =
  { isPython: false; version: CifarVersion } | { isPython: true; version: CifarPython };

function folderOf(version: Version, dir: string): CifarLocation | undefined {
  const { folder, train, test } = version.version;
  const isThere = (path: string): boolean =>
    // A folder counts as soon as one of its files is there, so that a missing one is named.
    [...train, ...test].some((name) => {
      const file = join(path, name);
      return existsSync(file) && !statSync(file).isDirectory();
    });
  if (isThere(join(dir, folder))) return { kind: 'folder', path: join(dir, folder), ...version };
  // Files called train and test may be anybody's.
  const isOwn =
    !version.isPython || basename(dir) === folder || existsSync(join(dir, version.version.meta));
  return isOwn && isThere(dir) ? { kind: 'folder', path: dir, ...version } : undefined;
}

function archiveOf(version: Version, dir: string): CifarLocation | undefined {
  const { archive } = version.version;
  const path = [join(dir, archive), dir].find(
    (candidate) =>
      basename(candidate) === archive && existsSync(candidate) && statSync(candidate).isFile(),
  );
  return path === undefined ? undefined : { kind: 'archive', path, ...version };
}

/** Room for what a pickle holds beside the pixels (names of files), and for protocol 2, which writes bytes as text. */
const pickleBytes = (records: number): number => 2 * records * imagePixels + 32 * 1024 ** 2;
const metaBytes = 1024 ** 2;

/** One file that is expected. */
export interface CifarFile {
  readonly name: string;
  /** Bytes that it has, if they are known. */
  readonly bytes?: number;
  /** Bytes that it has at most. */
  readonly most: number;
}

/** The files of both parts, and of the names if there is one. */
export function expectedFiles(spec: CifarSpec, location: CifarLocation): CifarFile[] {
  const { train, test } = location.version;
  const file =
    (records: number) =>
    (name: string): CifarFile =>
      location.isPython
        ? { name, most: pickleBytes(records) }
        : { name, bytes: bytesOf(spec, records), most: bytesOf(spec, records) };
  return [
    ...train.map(file(spec.recordsPerTrainFile)),
    ...test.map(file(spec.recordsPerTestFile)),
    ...(location.isPython ? [{ name: location.version.meta, most: metaBytes }] : []),
  ];
}

/**
 * One file of a folder.
 * @throws DataError with the whole sentence for a wrong size; what the system throws
 */
export function readCifarFile(spec: CifarSpec, location: CifarLocation, file: CifarFile): Buffer {
  const path = join(location.path, file.name);
  const { size } = statRegular(path);
  if (file.bytes !== undefined && size !== file.bytes) {
    throw new DataError(wrongSize(spec, location, path, size, file.bytes), { file: path });
  }
  return readWhole(path, file.most);
}

/** Of what else the archives hold, a page and a list of names, with room to spare. */
const otherBytes = 16 * 1024 ** 2;

/**
 * The files of a .tar.gz, in memory. What an entry says of its size is looked at before its bytes are:
 * a small archive can unpack to any number of them.
 */
export async function readCifarArchive(
  spec: CifarSpec,
  location: CifarLocation,
): Promise<Map<string, Buffer>> {
  const { path } = location;
  const expected = new Map(expectedFiles(spec, location).map((file) => [file.name, file]));
  const found = new Map<string, Buffer>();
  let others = 0;
  // The heads of entries and what fills up their last blocks count here, and not among the other bytes.
  const most = Array.from(expected.values()).reduce((sum, file) => sum + file.most, 2 * otherBytes);
  try {
    statRegular(path);
    await eachTarEntry(path, { most }, (entry) => {
      const name = basename(entry.path);
      const file = entry.type === 'Directory' ? undefined : expected.get(name);
      if (file === undefined || found.has(name)) {
        others += entry.size;
        if (others > otherBytes) {
          throw new DataError(`it holds ${others} bytes that are no part of ${spec.title}`);
        }
        entry.resume();
        return;
      }
      const inside = join(path, name);
      if (entry.size > file.most || (file.bytes !== undefined && entry.size !== file.bytes)) {
        const text =
          file.bytes === undefined
            ? `${inside}: got ${entry.size} bytes, expected at most ${file.most}. ${redo(spec, location)}`
            : wrongSize(spec, location, inside, entry.size, file.bytes);
        throw new DataError(`openDataset "${spec.name}": ${text}`, { file: inside });
      }
      const parts: Buffer[] = [];
      entry.on('data', (part: Buffer) => parts.push(part));
      entry.on('end', () => found.set(name, Buffer.concat(parts)));
    });
  } catch (error) {
    if (error instanceof DataError && error.file !== undefined) throw error;
    throw new DataError(
      `openDataset "${spec.name}": ${path} (${statSync(path).size} bytes) cannot be unpacked ` +
        `(${reasonOf(error)}). ${redo(spec, location)}`,
      { cause: error, file: path },
    );
  }
  return found;
}
