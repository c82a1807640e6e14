// Whether the classes of a data set are those of a model.
import type { DatasetInfo } from '../data/types.js';
import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';

/** So many that differ are shown. */
const mostShown = 3;
/** Up to so many names are shown as they would be given. */
const mostGiven = 10;

/**
 * @param known - the model's; empty where nothing tells them
 * @param takesClasses - whether other names may be given for them
 * @throws UsageError if some have other names
 */
export function checkClassNames(
  { name, classes }: Pick<DatasetInfo, 'name' | 'classes'>,
  known: readonly string[],
  takesClasses: boolean,
): void {
  // In composed spelling, as classes are read: the model may have been written elsewhere.
  const differing = classes.flatMap((own, i) => {
    const expected = known[i];
    return expected === undefined || composed(expected) === composed(own)
      ? []
      : [`class ${i} '${printableLine(own)}', expected '${printableLine(expected)}'`];
  });
  if (differing.length === 0) return;
  const more = differing.length - mostShown;
  const shown = [...differing.slice(0, mostShown), ...(more > 0 ? [`and ${more} more`] : [])];
  throw new UsageError(
    `the model does not fit ${name}: got ${shown.join('; ')}. ${advice(classes, known, takesClasses)}`,
  );
}

function advice(
  classes: readonly string[],
  known: readonly string[],
  takesClasses: boolean,
): string {
  const usual = 'Use the data set that the model was trained on.';
  if (isReordered(classes, known)) {
    return `These are the same classes in another order, so that answers would count for others. ${usual}`;
  }
  if (!takesClasses) return usual;
  const isShort = classes.length <= mostGiven && classes.every((name) => /^[\w.-]+$/.test(name));
  const given = isShort
    ? `\`classes\` ${classes.join(',')}`
    : '`classes`, which takes a file with one name per line too';
  return `If these are the same classes in the same order with other names, give those of the data: ${given}. Otherwise use the data set that the model was trained on.`;
}

/**
 * Where each class of the data stands among those that a model knows; undefined where they stand in the same order, or are
 * not the same.
 */
export function placesOf(
  classes: readonly string[],
  known: readonly string[],
): readonly number[] | undefined {
  if (!isReordered(classes, known)) return undefined;
  const names = known.map(plain);
  const places = classes.map((name) => names.indexOf(plain(name)));
  return new Set(places).size === known.length ? places : undefined;
}

/** Whether the classes of the data are those that a model knows, in the same order. */
export const areSame = (classes: readonly string[], known: readonly string[]): boolean =>
  classes.every((name, i) => plain(name) === plain(known[i] ?? ''));

function isReordered(classes: readonly string[], known: readonly string[]): boolean {
  const ours = new Set(known.map(plain));
  return classes.every((name) => ours.has(plain(name))) && !areSame(classes, known);
}

const composed = (name: string): string => name.normalize('NFC');

/** Without what differs between spellings. */
const plain = (name: string): string =>
  composed(name)
    .toLowerCase()
    .replaceAll(/[\s_-]/g, '');
