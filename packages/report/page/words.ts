// Names of groups, kinds and runs.
import type { ComparedTest, PicturedComparison } from '../src/page-data/comparison.js';
import type { GroupData } from '../src/page-data/pruning.js';
import type { ReportData } from '../src/page-data/report.js';
import type { RunData } from '../src/page-data/run.js';
import { grouped, percent } from './format.js';
import type { Language, TextKey, Translate } from './i18n/index.js';

/** What the units of a kind are called; its name where the report does not say. */
export function kindName(
  kind: string,
  { data, language }: { readonly data: Pick<ReportData, 'kinds'>; readonly language: Language },
): string {
  const label = data.kinds?.[kind];
  return label?.[language] ?? label?.en ?? kind;
}

/** Where a group is: `blocks.3.ssm` is `3`, `layers.1.blocks.2.op` is `1.2`. A name without numbers loses its last part. */
export function blockName(group: string): string {
  const parts = group.split('.');
  const place = parts.length > 1 ? parts.slice(0, -1) : parts;
  const numbers = place.join('.').match(/\d+/g);
  return numbers ? numbers.join('.') : place.join('.');
}

/** A name for each group of a kind: that of its block, or more where a block has several. */
export function shortNames(groups: readonly Pick<GroupData, 'name'>[]): string[] {
  const blocks = groups.map(({ name }) => blockName(name));
  if (new Set(blocks).size === blocks.length) return blocks;
  return groups.map(({ name }) => name.replace(/\b(blocks\.|layers\.|layer)/g, ''));
}

export const methodText = ({ method, isDense }: RunData, t: Translate): string =>
  t(method === 'train' && !isDense ? 'trainPruned' : method);

/** What a test over seeds has shown. */
export function verdictText(
  { methods, difference, confidence, pairs, ...test }: ComparedTest,
  t: Translate,
): string {
  const p = test.pHolm ?? test.p;
  if (p === null) return t(pairs < 2 ? 'noTest' : 'noSpread');
  if (p >= 1 - confidence) return t('noDifference');
  return t('better', { method: methodName(difference > 0 ? methods[0] : methods[1], t) });
}

/** Of a comparison's method; its own name where it is of another version. */
export const methodName = (method: string, t: Translate): string =>
  ['dense', 'scratch', 'oneshot', 'refill', 'rsst'].includes(method)
    ? t(method as TextKey)
    : method;

/** How long a training was: `one epoch`, `5 epochs`. */
export const epochsText = (epochs: number, t: Translate): string =>
  t(epochs === 1 ? 'epochOne' : 'epochMany', { epochs: grouped(epochs) });

/**
 * `70%`; nothing for the dense model.
 * @param compared - which says what rates follow from an amount, as `61.4%` from 3M
 */
export function rateName(
  rate: number,
  { amountsAt = [] }: Pick<PicturedComparison, 'amountsAt'>,
): string {
  if (rate === 0) return '';
  return amountsAt.some((at) => at.rate === rate)
    ? percent(rate, 1)
    : `${Number((100 * rate).toFixed(4))}%`;
}

/** What was asked for: `70%` where all kinds are to lose the same share, else `ssm 70%, mlp 50%`. */
export const rateText = ({ pruning }: Pick<RunData, 'pruning'>): string =>
  sharesText(pruning?.rates ?? {}, 4);

/** What is gone; what was asked for where widths were only rounded, or the run is not at its end; a budget in brackets. */
export function removedText({
  pruning,
  removed = {},
}: Pick<RunData, 'pruning' | 'removed'>): string {
  const { rates = removed, reached = rates, budget } = pruning ?? {};
  if (budget) return `${sharesText(reached, 1)} (${budget.join(', ')})`;
  const isRounded = Object.entries(reached).every(
    ([kind, share]) => Math.abs(share - (rates[kind] ?? 0)) < mostRounding,
  );
  return isRounded ? sharesText(rates, 4) : sharesText(reached, 1);
}

/** Half a unit of fifty, the narrowest groups of usual models. */
const mostRounding = 0.01;

function sharesText(rates: Readonly<Record<string, number>>, decimals: number): string {
  const percents = Object.entries(rates).map(([kind, rate]) => [
    kind,
    `${Number((100 * rate).toFixed(decimals))}%`,
  ]);
  const same = new Set(percents.map(([, rate]) => rate));
  if (same.size === 1) return percents[0]?.[1] ?? '';
  return percents.map((parts) => parts.join(' ')).join(', ');
}

/** Kinds with groups that some round changed, or all if none did. */
export function cutKinds({ pruning }: Pick<RunData, 'pruning'>): string[] {
  if (!pruning) return [];
  const all = [...new Set(pruning.groups.map(({ kind }) => kind))];
  const cut = all.filter(
    (kind) =>
      kind in pruning.rates ||
      pruning.groups.some((group) => group.kind === kind && group.fate !== undefined),
  );
  return cut.length > 0 ? cut : all;
}

export const groupsOf = ({ pruning }: Pick<RunData, 'pruning'>, kind: string): GroupData[] =>
  pruning?.groups.filter((group) => group.kind === kind) ?? [];

/** Above the table of the tests: what was tested how; with one seed nothing was. */
export const testsTitle = (tests: readonly Pick<ComparedTest, 'p'>[], t: Translate): string =>
  t(tests.every(({ p }) => p === null) ? 'untested' : 'tests');

/** Whether Holm's correction changed a p: one pair of methods was tested more than once. */
export function hasCorrection(tests: readonly Pick<ComparedTest, 'methods' | 'pHolm'>[]): boolean {
  const tested = tests.filter(({ pHolm }) => pHolm !== null).map(({ methods }) => String(methods));
  return new Set(tested).size < tested.length;
}
