// What the terminal shows of a measurement: a line for each part, with what it loses at each rate and a strip of bars.
import { count, digits, grouped, percent } from '../format.js';
import type { SearchRecord, SensitivityFile } from '../workflows/sensitivity/file.js';
import type { Context } from './context.js';
import { type Cell, type Column, bold } from './terminal/layout.js';
import { shorten } from './terminal/text.js';

type Part = SensitivityFile['parts'][number];

/** By height; the lowest is shown for nothing lost, too. */
const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/** Columns of figures that fit beside names and strips, and in a narrow terminal. */
const mostColumns = { wide: 5, narrow: 3 };

export function printSensitivity(context: Context, file: SensitivityFile): void {
  const { model, images, dense, importance, score, compensate, search } = file;
  context.pathTitle(model.path);
  context.facts([
    [
      'images',
      `${grouped(images.count)} ${images.split === 'train' ? 'training' : 'test'} images of ${images.dataset}, held out`,
    ],
    ['accuracy', { text: percent(dense.accuracy), style: 'bold' }],
    ['loss', digits(dense.loss, 4)],
    ['units by', `${importance} of ${score}`],
    ...(compensate
      ? [['compensated', `${compensate.target}, by ${grouped(compensate.images)} images`] as const]
      : []),
  ]);
  context.print();
  printParts(context, file);
  // One that has not begun has nothing to show.
  if (search && search.candidates.length > 0) printSearch(context, file, search);
}

/** Accuracy in points: what is lost at each rate. */
function printParts(context: Context, file: SensitivityFile): void {
  const { parts, rates, dense, search, by } = file;
  const shown = columnsShown(rates, context.width < 70 ? mostColumns.narrow : mostColumns.wide);
  const highest = Math.max(...parts.flatMap(({ points }) => points.map(({ loss }) => loss)));
  const rateOf = search?.best && bestRates(search.best.rates, parts);
  const columns: Column[] = [
    { title: by, flexible: true },
    { title: 'units', align: 'right' },
    ...shown.map((rate): Column => ({
      title: percent(rate, rate * 100 === Math.round(rate * 100) ? 0 : 1),
      align: 'right',
    })),
    { title: 'loss' },
    ...(rateOf ? [{ title: 'cut', align: 'right' } as const] : []),
  ];
  const rows = parts.map((part): Cell[] => {
    const { name, groups, points } = part;
    const units = Object.values(groups).reduce((sum, size) => sum + size, 0);
    const at = (rate: number) => points.find((point) => point.rate === rate);
    return [
      name,
      grouped(units),
      ...shown.map((rate) => pointsLost(dense.accuracy, at(rate)?.accuracy)),
      rates.map((rate) => barOf(at(rate)?.loss, dense.loss, highest)).join(''),
      ...(rateOf ? [percent(rateOf.get(name), 0)] : []),
    ];
  });
  context.table(columns, rows);
  // Where time was over before the first point there are no bars.
  const bars = Number.isFinite(highest)
    ? ` Bars: its loss at ${rates.map((rate) => percent(rate, 0)).join(', ')}, from ${digits(dense.loss)} to ${digits(highest)}.`
    : '';
  context.paragraph(
    `Change of the accuracy in points when the ${by} alone loses that share of its units.${bars}`,
  );
  const worst = ranked(parts, dense.loss);
  // None is both.
  const few = Math.min(3, Math.floor(worst.length / 2));
  if (few > 0) {
    context.print();
    context.facts([
      ['most sensitive', names(context, worst.slice(0, few))],
      ['least sensitive', names(context, worst.slice(-few).reverse())],
    ]);
  }
}

/** Each fits beside its label, with a comma. */
const names = ({ width }: Context, parts: readonly Part[]): string =>
  parts.map(({ name }) => shorten(name, width - 'least sensitive'.length - 5)).join(', ');

/** By the mean increase of the loss over the rates, the largest first; only parts that are measured. */
function ranked(parts: readonly Part[], loss: number): Part[] {
  const mean = ({ points }: Part): number =>
    points.reduce((sum, point) => sum + point.loss - loss, 0) / points.length;
  return parts.filter(({ points }) => points.length > 0).sort((a, b) => mean(b) - mean(a));
}

/** The first, the last, and what fits between them. */
function columnsShown(rates: readonly number[], most: number): number[] {
  if (rates.length <= most) return [...rates];
  const places = Array.from({ length: most }, (_, i) =>
    Math.round((i * (rates.length - 1)) / (most - 1)),
  );
  return rates.filter((_, i) => places.includes(i));
}

/** `-3.2`; 0.0 where nothing is lost, `+0.4` where something is won. */
function pointsLost(before: number, after: number | undefined): string {
  if (after === undefined) return '';
  const text = (100 * (after - before)).toFixed(1);
  if (Number(text) === 0) return '0.0';
  return after > before ? `+${text}` : text;
}

function barOf(loss: number | undefined, least: number, most: number): string {
  if (loss === undefined) return ' ';
  const share = most > least ? (loss - least) / (most - least) : 0;
  const level = Math.round(Math.min(1, Math.max(0, share)) * (bars.length - 1));
  return bars[level] ?? '';
}

/** Share of each part's units that goes. */
function bestRates(rates: Readonly<Record<string, number>>, parts: readonly Part[]) {
  return new Map(
    parts.map(({ name, groups }) => {
      const sizes = Object.entries(groups);
      const all = sizes.reduce((sum, [, size]) => sum + size, 0);
      const gone = sizes.reduce((sum, [group, size]) => sum + size * (rates[group] ?? 0), 0);
      return [name, gone / all];
    }),
  );
}

function printSearch(context: Context, { dense }: SensitivityFile, search: SearchRecord): void {
  const { candidates, best, method, evaluations, finished, budget } = search;
  const own = best && !candidates.some(({ name }) => name === best.name) ? [best] : [];
  context.print();
  context.title('Right after the cut');
  context.table(
    [
      { title: 'rates', flexible: true },
      { title: 'accuracy', align: 'right' },
      { title: 'loss', align: 'right' },
      { title: 'MACs', align: 'right' },
      { title: 'parameters', align: 'right' },
    ],
    [{ name: 'dense', rates: {}, ...dense }, ...candidates, ...own].map((found) => [
      found.name === best?.name ? bold(found.name) : found.name,
      percent(found.accuracy),
      digits(found.loss, 4),
      count(found.macs),
      count(found.parameters),
    ]),
  );
  const what = { macs: 'MACs', parameters: 'parameters', units: 'units' }[budget.metric];
  context.paragraph(
    `The ${method} search measured ${grouped(evaluations.length)} models on the held-out images, for at most ` +
      `${count(budget.most)} ${what}${finished ? '' : ', and is not at its end'}.`,
  );
}
