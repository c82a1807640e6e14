// Weights that are split over several files, as Hugging Face splits large ones: an index, which is a JSON file, names the
// file beside it in which each tensor lies.
import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FormatError } from '@mamba-prune/libtorch';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { UsageError } from '../../errors.js';
import { listed, printableName } from '../../printable.js';
import { isShardIndex } from '../../shard-names.js';

/** Larger than that of any model: a tensor takes some hundred bytes there. */
const maxIndexBytes = 2 ** 26;

const schema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The files that an index names, with the names of the tensors in each, both in the order of the index.
 * @throws FormatError if it is no index, or names a file of another folder
 * @throws UsageError if files are missing
 */
export function readShardIndex(path: string): ReadonlyMap<string, readonly string[]> {
  const { weight_map: places } = schemaOf(path);
  const files = new Map<string, string[]>();
  for (const [name, file] of Object.entries(places)) {
    if (!isNameBeside(file)) {
      throw new FormatError(
        `${path}: got '${printableName(file)}' as the file of '${printableName(name)}', expected the name of a file beside it, of weights.`,
      );
    }
    const names = files.get(file) ?? [];
    if (names.push(name) === 1) files.set(file, names);
  }
  if (files.size === 0) throw new FormatError(`${path}: got no tensors, expected some.`);
  const missing = [...files.keys()].filter((file) => !isFile(join(dirname(path), file)));
  if (missing.length > 0) {
    throw new UsageError(
      `${path}: ${missing.length} of the ${files.size} files of its weights are not beside it (${listed(missing.map(printableName), 3)}), expected all. Copy or download them too.`,
    );
  }
  return files;
}

/** Bytes of a file of weights; of an index those of the files that it names. */
export function weightsBytes(path: string): number {
  if (!isShardIndex(path)) return statSync(path).size;
  const files = [...readShardIndex(path).keys()];
  return files.reduce((sum, file) => sum + statSync(join(dirname(path), file)).size, 0);
}

/**
 * What a downloaded file says must not lead out of its folder, nor to an index again, which might be the same.
 */
const isNameBeside = (file: string): boolean =>
  file === basename(file) &&
  !/[\\\0]/.test(file) &&
  !['', '.', '..'].includes(file) &&
  !isShardIndex(file);

/** Of a ring of links neither. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function schemaOf(path: string): z.infer<typeof schema> {
  const expected =
    'expected the index of split weights: a JSON object whose weight_map names the file of each tensor.';
  const { size } = statSync(path);
  if (size > maxIndexBytes) {
    throw new FormatError(`${path}: got a file of ${size} bytes, ${expected}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(readTextFile(path));
  } catch (error) {
    throw new FormatError(`${path}: got no JSON (${(error as Error).message}), ${expected}`, {
      cause: error,
    });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new FormatError(`${path}: got JSON without one, ${expected}`);
  return parsed.data;
}
