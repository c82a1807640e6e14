// What was compared, in words, for tables and pictures.
import { dataLabel } from '../../data/data-label.js';
import { basename, dirname } from 'node:path';
import { percent, plural } from '../../format.js';
import { modelLabel } from '../../models/model-label.js';
import { halvingFillback } from '../../pruning/refill-choices.js';
import type { PictureHeading } from '../../report-package.js';
import { type CompareSizes, amountText, askedAt, compareBudgets } from './budget.js';
import { cutRemarks } from './describe-cut.js';
import { fillbackOf } from './fillback.js';
import { type CompareMethod, methodLabel, methodsOf } from './methods.js';
import { allSeeds } from './seeds.js';
import type { CompareResults } from './results.js';
import { type CompareRun, type CompareSettings, percentName } from './settings.js';

type Removed = CompareSizes & Pick<CompareSettings, 'targets'>;

/** `70% of ssm and mlp`, or under a budget `70% of the MACs (from ssm and mlp)` or `61.4% of the MACs, to 3M (from ssm and mlp)` */
export const removedText = (rate: number, { targets, ...sizes }: Removed): string =>
  sizes.budget === undefined
    ? `${percentName(rate)}% of ${targets.join(' and ')}`
    : `${rateText(rate, sizes)} (from ${targets.join(' and ')})`;

/** `70%`, or under a budget `70% of the MACs`, or `61.4% of the MACs, to 3M` */
export function rateText(rate: number, sizes: CompareSizes): string {
  const { budget } = sizes;
  if (budget === undefined) return `${percentName(rate)}%`;
  const asked = askedAt(sizes, rate);
  const of = ` of the ${compareBudgets[budget]}`;
  return typeof asked === 'string'
    ? `${percentName(rate)}%${of}`
    : `${percent(rate, 1)}${of}, to ${amountText(budget, asked)}`;
}

/** `70%`, or of an amount `61.4%`: beside what says what it is of. */
const shortRate = (rate: number, sizes: CompareSizes): string =>
  typeof askedAt(sizes, rate) === 'string' ? `${percentName(rate)}%` : percent(rate, 1);

/** `3 seeds`, or `3 to 5 seeds` where some rates have others. */
function seedsText({ seeds, seedsAt = [] }: CompareSettings): string {
  const counts = [seeds, ...seedsAt.map((at) => at.seeds)].map(({ length }) => length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return `${least < most ? `${least} to ` : ''}${most === 1 ? '1 seed' : `${most} seeds`}`;
}

/** How far a comparison is. Counted are the runs of the methods, as in its tables: what they begin with is none of them. */
export const doneText = ({ done, planned }: Pick<CompareResults, 'done' | 'planned'>): string =>
  `${done} of ${plural(planned, 'run')} of the methods are done`;

/** `8 runs of the methods and 2 dense trainings before them` */
export function runsText(runs: readonly CompareRun[]): string {
  const methods = runs.filter(({ method }) => method !== undefined).length;
  const dense = runs.length - methods;
  const before = `${plural(dense, 'dense training')} before them`;
  return `${plural(methods, 'run')} of the methods${dense === 0 ? '' : ` and ${before}`}`;
}

/** How it was compared, in one line. */
export function describe(settings: CompareSettings): string {
  const { train, finetune, rsst, dense } = settings;
  const methods = methodsOf(settings);
  const through = rsst.lrThrough === true ? ', one schedule' : '';
  const after =
    `${finetune.epochs} for every method` +
    (methods.includes('rsst') ? ` (RSST: ${rsst.epochs} regularised${through})` : '');
  if (!dense) {
    return `${seedsText(settings)}; ${plural(train.recipe.epochs, 'epoch')} dense, then ${after}`;
  }
  const [only] = dense;
  const given =
    dense.length === 1 && only
      ? `the given dense model ${modelName(only.path)}`
      : 'a given dense model for each seed';
  return `${seedsText(settings)}; ${given}, then ${after.replace(' for', ' epochs for')}`;
}

/** That of its run, as all of them call their models alike. */
const modelName = (path: string): string =>
  basename(path) === 'model.safetensors' ? basename(dirname(path)) : basename(path);

/** What a reader of the table has to know besides, each a whole sentence. */
export function remarks(settings: CompareSettings): string[] {
  const { train, finetune, distill, dense } = settings;
  const hasScratch = methodsOf(settings).includes('scratch');
  const isShared = dense?.length === 1 && allSeeds(settings).length > 1;
  return [
    ...(isShared
      ? [
          'All seeds share one dense model: the spread and the tests are of the training after it, and say nothing of ' +
            'other dense models.',
        ]
      : []),
    ...(hasScratch
      ? [
          `scratch is a fresh model of the widths of the one-shot cut, trained for ${train.recipe.epochs} + ` +
            `${plural(finetune.epochs, 'epoch')} with the dense recipe.`,
        ]
      : []),
    ...(distill
      ? [
          `The dense model teaches (weight ${distill.weight}, temperature ${distill.temperature ?? 1}) after the cut, ` +
            `${distill.through ? "in RSST's regularised epochs, " : ''}and where it is trained on itself${hasScratch ? '; it does not teach scratch' : ''}.`,
        ]
      : []),
    ...cutRemarks(settings),
    ...fillbackText(settings),
    ...firstCutText(settings),
    ...ratesText(settings),
  ];
}

/** How much Refill gives back where that depends on the rate. */
function fillbackText(settings: CompareSettings): string[] {
  const { rates, refill, methods } = settings;
  const shares = rates.map((rate) => fillbackOf(refill, rate));
  if (!methodsOf({ methods }).includes('refill') || new Set(shares).size < 2) return [];
  const listed = rates.map((rate, i) => `${shares[i]} at ${shortRate(rate, settings)}`).join(', ');
  return [`The fillback of Refill is ${listed}.`];
}

/** Where Refill's first cut decides less than half of what stays. Under a budget the widths are not known here. */
function firstCutText(settings: CompareSettings): string[] {
  const { rates, refill, budget } = settings;
  if (budget !== undefined || refill.budget !== 'keep' || !methodsOf(settings).includes('refill')) {
    return [];
  }
  const deep = rates
    .filter((rate) => fillbackOf(refill, rate) > halvingFillback(1 - rate))
    .sort((a, b) => a - b);
  if (deep.length === 0) return [];
  const where = deep.map((rate) => `${percentName(rate)}%`).join(' and ');
  const given = [...new Set(deep.map((rate) => fillbackOf(refill, rate)))].join(' and ');
  const enough = halvingFillback(1 - Math.max(...deep));
  return [
    `At ${where} removed more than half of the units that Refill keeps came back (fillback ${given}), chosen in a model of ` +
      `which the first cut had left little. A fillback of ${enough} lets the first cut choose half.`,
  ];
}

/** The learning rates where methods have their own. */
function ratesText(settings: CompareSettings): string[] {
  const { lrOf, train, finetune } = settings;
  if (!lrOf) return [];
  const usual = (method: CompareMethod): number | undefined =>
    method === 'scratch' ? train.recipe.lr : finetune.lr;
  const rates = methodsOf(settings).map((method) => {
    const lr = lrOf[method] ?? usual(method);
    return `${methodLabel(method)} ${lr ?? 'as the optimizer has it'}`;
  });
  return [`Highest learning rates: ${rates.join(', ')}.`];
}

/** Over the picture. */
export function headingOf(settings: CompareSettings): PictureHeading {
  const { train, finetune, dense, budget } = settings;
  const shown =
    allSeeds(settings).length === 1
      ? 'One seed.'
      : `Mean of ${seedsText(settings)} (small dots) with one standard deviation.`;
  const begin = dense
    ? `${plural(finetune.epochs, 'epoch')} for every method, from ${dense.length === 1 ? 'one given dense model' : 'given dense models'}.`
    : `${plural(train.recipe.epochs, 'epoch')} dense, then ${finetune.epochs} for every method.`;
  return {
    title: `Accuracy against cost: ${modelLabel(train.arch, train.model)} on ${dataLabel(train)}`,
    lines: [
      `${shown} Methods of one size stand side by side.`,
      budget === undefined ? begin : `${begin} Rates are shares of the ${compareBudgets[budget]}.`,
    ],
  };
}
