// A classifier whose rows stand for the classes of other data, or for the same in another order.
import { noGrad, scope } from '@mamba-prune/libtorch';
import type { DatasetInfo } from '../data/types.js';
import { familyNamed } from '../models/families.js';
import type { ImageModel } from '../models/image-model.js';
import { shapesIn } from '../models/shapes.js';
import { printableLine } from '../printable.js';
import { areSame, placesOf } from './class-names.js';

/** More names than these are not listed. */
const mostNamed = 10;

/**
 * Puts the rows of a classifier into the order of a data set's classes, where they are the same classes in another order.
 * @param known - classes that the rows stand for, as many as the data have; empty where nothing tells them
 * @returns what the user should know of it; undefined where the rows stand for these classes
 */
export function orderClassifier(
  model: ImageModel,
  { name, classes }: Pick<DatasetInfo, 'name' | 'classes'>,
  known: readonly string[],
): string | undefined {
  if (known.length !== classes.length || areSame(classes, known)) return undefined;
  const places = placesOf(classes, known);
  if (places === undefined) {
    const few = classes.length <= mostNamed;
    const names = few ? `: ${listOf(known)} there, ${listOf(classes)} here` : '';
    return (
      `The classifier begins with the weights that the file has, though its ${classes.length} classes have other names than ` +
      `those of ${name}${names}.`
    );
  }
  const rows = classifierOf(model);
  scope(() => {
    const state = model.stateDict();
    const moved = noGrad(() =>
      Array.from(state)
        .filter(([tensor]) => rows.has(tensor))
        .map(([tensor, values]) => [tensor, values.indexSelect(0, places)] as const),
    );
    model.loadStateDict(new Map(moved), { strict: false });
  });
  return `The file has the classes of ${name} in another order: the rows of the classifier were put into that of the data.`;
}

const listOf = (names: readonly string[]): string => names.map(printableLine).join(', ');

/** Names of the tensors that have a row for each class. */
function classifierOf({ config }: ImageModel): ReadonlySet<string> {
  const family = familyNamed(config);
  const more = shapesIn(family, { ...config, numClasses: config.numClasses + 1 });
  const own = shapesIn(family, config);
  return new Set(
    Array.from(own, ([name]) => name).filter((name) => own.get(name)?.[0] !== more.get(name)?.[0]),
  );
}
