// Mean and deviation of the images where the model of a file normalises them itself: buffers beside the model that is read, or a module that
// normalises. Here images are normalised before the model, and these go before what else is said of them.
import type { PlainValue } from '@mamba-prune/libtorch/files';
import type { Choice, FoundDict } from './choice.js';
import type { WeightsFile } from './file.js';
import { classOf } from './module-place.js';
import type { ModuleWords } from './module-words.js';
import { cleanName } from './names.js';
import type { Word } from './words.js';

/** What scripts call the two. */
const pairs = [
  ['mean', 'std'],
  ['pixel_mean', 'pixel_std'],
  ['image_mean', 'image_std'],
  ['img_mean', 'img_std'],
  ['norm_mean', 'norm_std'],
  ['new_mean', 'new_std'],
  ['mu', 'sigma'],
] as const;

export interface InnerNormalisation {
  readonly mean: Word<readonly number[]>;
  readonly std: Word<readonly number[]>;
}

/** Images have one channel or three, and hardly ever more. */
const mostChannels = 64;

/** @returns undefined where there is none, or more than one */
export function innerNormalisation(
  file: WeightsFile,
  choice: Choice<FoundDict>,
  modules: ModuleWords | undefined,
): InnerNormalisation | undefined {
  return inModules(modules) ?? inBuffers(file, choice);
}

/** Such as torchvision's Normalize before the model in a Sequential. */
function inModules(modules: ModuleWords | undefined): InnerNormalisation | undefined {
  const found = (modules?.around ?? []).filter(({ module }) =>
    /normali[sz]/i.test(classOf(module)),
  );
  const [only, ...more] = found.flatMap(({ at, module }) =>
    pairs.flatMap(([mean, std]) => {
      const values = [mean, std].map((name) => numbersOf(module.attribute(name)));
      return values[0] && values[1]
        ? [
            {
              mean: { value: values[0], at: `${at}.${mean}` },
              std: { value: values[1], at: `${at}.${std}` },
            },
          ]
        : [];
    }),
  );
  return more.length > 0 ? undefined : only;
}

const numbersOf = (value: PlainValue | undefined): readonly number[] | undefined =>
  Array.isArray(value) && value.every((item) => typeof item === 'number') ? value : undefined;

function inBuffers(
  file: WeightsFile,
  { dict, names }: Choice<FoundDict>,
): InnerNormalisation | undefined {
  const taken = new Set(names.values());
  const beside = new Set([...dict.shapes.keys()].filter((stored) => !taken.has(stored)));
  const [only, ...more] = [...beside].flatMap((stored) =>
    pairs.flatMap(([mean, std]) => {
      const clean = cleanName(stored);
      if (clean !== mean && !clean.endsWith(`.${mean}`)) return [];
      const other = stored.slice(0, -mean.length) + std;
      const shapes = [stored, other].map((name) => dict.shapes.get(name));
      return beside.has(other) && shapes.every(isPerChannel) ? [{ stored, other }] : [];
    }),
  );
  // An average of the weights beside them has its own.
  if (only === undefined || more.length > 0) return undefined;
  const tensors = file.load(
    dict,
    new Map([
      ['mean', only.stored],
      ['std', only.other],
    ]),
  );
  try {
    const values = (name: string): readonly number[] => [
      ...(tensors.get(name)?.to('float64').toNumbers() ?? []),
    ];
    const at = (stored: string): string =>
      [dict.key, stored].filter((step) => step !== '').join('.');
    return {
      mean: { value: values('mean'), at: at(only.stored) },
      std: { value: values('std'), at: at(only.other) },
    };
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

/** `[3]`, `[3, 1, 1]` and `[1, 3, 1, 1]`. */
function isPerChannel(shape: readonly number[] | undefined): boolean {
  if (shape === undefined || shape.length === 0 || shape.length > 4) return false;
  const sizes = shape.filter((size) => size !== 1);
  return sizes.length <= 1 && (sizes[0] ?? 1) <= mostChannels && (sizes[0] ?? 1) > 0;
}
