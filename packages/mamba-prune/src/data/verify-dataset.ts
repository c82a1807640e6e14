// Checks a data set that brings no check of its own: by reading every image.
import { reasonOf } from './errors.js';
import type { Dataset, ImageSplit, OpenDatasetOptions, VerifyReport } from './types.js';

/** Images that are read together. */
const atOnce = 64;

/** Reads every image and label of both parts. */
export async function verifyByReading(
  { info, train, test }: Dataset,
  { onProgress }: Pick<OpenDatasetOptions, 'onProgress'>,
): Promise<VerifyReport> {
  const problems: string[] = [];
  const total = train.length + test.length;
  let done = 0;
  const readAll = async (part: string, split: ImageSplit): Promise<number[]> => {
    const counts = info.classes.map(() => 0);
    for (let first = 0; first < split.length; first += atOnce) {
      const size = Math.min(atOnce, split.length - first);
      const indices = Array.from({ length: size }, (_, i) => first + i);
      try {
        for (const index of indices) {
          const label = split.label(index);
          counts[label] = (counts[label] ?? 0) + 1;
        }
        await split.read(indices);
      } catch (error) {
        problems.push(`${part}: images ${first} to ${first + size - 1}: ${reasonOf(error)}`);
      }
      done += size;
      onProgress?.(done, total);
    }
    return counts;
  };
  const counts = { train: await readAll('train', train), test: await readAll('test', test) };
  return {
    name: info.name,
    dir: info.dir,
    ok: problems.length === 0,
    classes: info.classes,
    counts,
    files: [],
    problems,
    notes: info.note === undefined ? [] : [info.note],
  };
}
