/** Data sets kept as image files: checked once, decoded whenever they are read. */
import { join, resolve } from 'node:path';
import { checksOf } from '../checks.js';
import { dataLimits } from '../limits.js';
import {
  type Interpolation,
  type Preprocessing,
  defaultPreprocessing,
  preprocessingProblem,
} from '../preparation/preprocessing.js';
import { printableLine } from '../printable.js';
import { defaultCacheDir } from './cache.js';
import { DataError, reasonOf } from './errors.js';
import { listed, named } from './folder-findings.js';
import { checkHeaders, originalOf } from './folder-headers.js';
import { type FoundPart, findImages } from './folder-layout.js';
import { FolderSplit } from './folder-split.js';
import { noteSlowJpegs } from './image-addon.js';
import { decodeClosely } from './decode-picture.js';
import { checkImage, jpegEnding } from './image-decode.js';
import { forEachLimited } from './limit.js';
import { countLabels } from './memory-split.js';
import { statRegular } from './read-whole.js';
import { ResizedCache } from './resized-cache.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

/** Mean and deviation of ImageNet's training images, which pretrained models expect. */
const imagenetMean = [0.485, 0.456, 0.406];
const imagenetStd = [0.229, 0.224, 0.225];

/** What differs between data sets of this layout. */
export interface FolderSpec {
  readonly name: string;
  /** Side of the images, in pixels, where none is asked for. */
  readonly imageSize: number;
  /**
   * Whether a note says which parts beside train are not tested with. Of ImageNet and its like everybody knows that the
   * test images have no labels. Default `false`.
   */
  readonly saysWhatIsNotRead?: boolean;
}

const outOfRangeOption = (message: string): DataError => new DataError(message, { isUsage: true });

/** Opens a data set of image files; every file's header is checked, unchanged files only once. */
export async function openImageFolder(
  spec: FolderSpec,
  options: OpenDatasetOptions,
): Promise<Dataset> {
  const { name } = spec;
  const dir = requireDir(name, options);
  const size = options.imageSize ?? spec.imageSize;
  const { integer } = checksOf(`openDataset "${name}"`, outOfRangeOption);
  integer('imageSize', size, { min: 1, max: dataLimits.imageSize });
  if (options.cachedSize !== undefined) {
    const advice = 'Crops are cut out of the copies, which can be no smaller than the images.';
    integer('cachedSize', options.cachedSize, { min: size, max: dataLimits.imageSize }, { advice });
  }
  const problem = preprocessingProblem(options);
  if (problem !== undefined) throw new DataError(`openDataset "${name}": ${problem}`);
  const found = findImages(spec, dir);
  const { root } = found;
  for (const note of found.notes) options.onNote?.(note);
  if (found.train.paths.some((path) => jpegEnding.test(path))) noteSlowJpegs(options.onNote);
  const { headers, problems, advice } = await checkHeaders(name, root, found, options);
  if (problems.length > 0) {
    const more = problems.length > named ? ` and ${problems.length - named} more` : '';
    throw new DataError(
      `openDataset "${name}": ${problems.length} of ${headers.size} images cannot be used: ` +
        `${problems.slice(0, named).map(printableLine).join('; ')}${more}. ${advice}`,
      { file: dir },
    );
  }
  const prepared = (preprocessing: Preprocessing): Dataset => {
    const split = (part: FoundPart, cacheOf = (): ResizedCache | undefined => undefined) =>
      new FolderSplit(root, part, headers, size, preprocessing, cacheOf);
    return {
      info: {
        name,
        classes: found.classes,
        channels: 3,
        height: size,
        width: size,
        mean: imagenetMean,
        std: imagenetStd,
        dir,
        preprocessing,
      },
      train: split(found.train, () => cacheFor(preprocessing)),
      test: split(found.test),
      prepared,
    };
  };
  const caches = new Map<Interpolation, ResizedCache>();
  /** Opened when the first crop is asked for: what is only evaluated needs none. */
  function cacheFor({ interpolation }: Preprocessing): ResizedCache | undefined {
    const { cachedSize } = options;
    const before = caches.get(interpolation);
    if (cachedSize === undefined || before) return before;
    const cacheDir = options.cacheDir ?? defaultCacheDir();
    const cache = new ResizedCache(cacheDir, root, cachedSize, interpolation);
    const originals = found.train.paths.map((path) => originalOf(path, headers));
    cache.open(originals);
    caches.set(interpolation, cache);
    const large = originals.filter(cache.isCached).length;
    options.onNote?.(
      `${name}: ${cache.size} of ${large} large training images are in ${cache.dir}, with a shorter side of ` +
        `${cachedSize} pixels. The others are put there when they are first read.`,
    );
    return cache;
  }
  const usual = defaultPreprocessing(name);
  const { interpolation = usual.interpolation, cropShare = usual.cropShare } = options;
  return prepared({ interpolation, cropShare });
}

/** Decodes every image in full. */
export async function verifyImageFolder(
  spec: FolderSpec,
  options: OpenDatasetOptions,
): Promise<VerifyReport> {
  const { name } = spec;
  const dir = requireDir(name, options);
  const found = findImages(spec, dir);
  const paths = [...found.train.paths, ...found.test.paths];
  const faults = new Map<string, string>();
  const garbled = new Map<string, string>();
  let done = 0;
  // 8, not more: each holds a whole decoded image.
  await forEachLimited(paths.length, 8, async (i) => {
    const path = join(found.root, paths[i] as string);
    try {
      await checkImage(path, statRegular(path).size);
      const complaint = await decodeClosely(path);
      if (complaint !== undefined) garbled.set(path, complaint);
    } catch (error) {
      faults.set(path, reasonOf(error));
    }
    options.onProgress?.(++done, paths.length);
  });
  const problems = [...faults].map(([path, reason]) => `${path}: ${reason}`).sort();
  return {
    name,
    dir,
    ok: problems.length === 0,
    classes: found.classes,
    counts: {
      train: countLabels(found.train.labels, found.classes.length),
      test: countLabels(found.test.labels, found.classes.length),
    },
    files: [],
    problems,
    notes: [...found.notes, ...garbledNote(name, garbled)],
  };
}

/** No fault: trainings read such images, as other programs do. */
function garbledNote(name: string, garbled: ReadonlyMap<string, string>): string[] {
  if (garbled.size === 0) return [];
  const images = [...garbled].map(([path, words]) => `${path} (${words})`).sort();
  const which = garbled.size === 1 ? '1 image is' : `${garbled.size} images are`;
  return [
    `${name}: ${which} garbled in part, and read as far as the decoder makes sense of it: ` +
      `${listed(images.map(printableLine), '; ')}. Look at ${garbled.size === 1 ? 'it' : 'them'}.`,
  ];
}

function requireDir(name: string, options: OpenDatasetOptions): string {
  if (options.dir !== undefined && options.dir !== '') return resolve(options.dir);
  throw new DataError(
    `openDataset "${name}": got no folder, expected one with train/CLASS/IMAGE and ` +
      'val/CLASS/IMAGE. Give its path (`dir`).',
    { isUsage: true },
  );
}
