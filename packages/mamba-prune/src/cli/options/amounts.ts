// Amounts as people type them: 3M, 1.5GB, 2ms, 0.3x.
import { InvalidArgumentError, Option } from 'commander';
import { inRange, rangeWords } from '../../checks.js';
import { trainLimits } from '../../limits.js';
import { type Amount, shareOf } from '../../pruning/budget/amounts.js';
import type { CompareBudget } from '../../workflows/compare/budget.js';
import type { LatencyBudget } from '../../workflows/prune/cost-budget-settings.js';

const thousands = { '': 1, K: 1e3, M: 1e6, G: 1e9 } as const;
const sizes = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
} as const;

/** Images of the batch whose time is limited. */
const batches = { min: 1, max: trainLimits.batchSize };

/** Far more than a model costs. */
const mostCost = 1e15;

/** A number with a unit; undefined for anything else, and for none above 0. */
function inUnits(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)$/i.exec(text.trim());
  const factor = match && units[(match[2] ?? '').toUpperCase()];
  // The same amount however it is typed: 1.1 times a million is not 1100000.
  const value = match && factor ? Number((Number(match[1]) * factor).toPrecision(15)) : 0;
  return value > 0 && value <= mostCost ? value : undefined;
}

/** A share such as 0.3x, above 0 and below 1: of the whole model nothing would be cut. */
function share(text: string): Amount | undefined {
  const value = shareOf(text.trim());
  return value !== undefined && value > 0 && value < 1 ? `${value}x` : undefined;
}

/** How amounts of a cost are typed. */
interface AmountWords {
  readonly units: Readonly<Record<string, number>>;
  /** For messages. */
  readonly examples: string;
}

const amountWords: Readonly<Record<CompareBudget, AmountWords>> = {
  macs: { units: thousands, examples: '3M' },
  params: { units: thousands, examples: '1.5M' },
  file: { units: sizes, examples: '5MB or 4MiB' },
};

/** @throws InvalidArgumentError saying what is expected */
function amountOf(text: string, { units, examples }: AmountWords): Amount {
  const amount = share(text) ?? inUnits(text, units);
  if (amount !== undefined) return amount;
  const number = rangeWords('a number', { above: 0, max: mostCost });
  throw new InvalidArgumentError(
    `Expected ${number}, such as ${examples}, or a share of the model above 0x and below 1x, such as 0.3x.`,
  );
}

const amountOption = (flags: string, description: string, of: CompareBudget): Option =>
  new Option(flags, description).argParser((text: string) => amountOf(text, amountWords[of]));

/** An option whose value is a list of amounts: 3M,0.3x */
export const amountsOption = (flags: string, description: string, of: CompareBudget): Option =>
  new Option(flags, description).argParser((text: string): Amount[] => {
    const words = text.split(',');
    const amounts = words.map((word) => {
      try {
        return amountOf(word, amountWords[of]);
      } catch (error) {
        if (words.length === 1) throw error;
        throw new InvalidArgumentError(`Got '${word}'. ${(error as Error).message}`);
      }
    });
    const twice = words.find((_, i) => amounts.indexOf(amounts[i] as Amount) < i);
    if (twice !== undefined) {
      throw new InvalidArgumentError(`Got ${twice.trim()} twice, expected it once.`);
    }
    return amounts;
  });

/** An amount of whatever cost, for an option that does not know which; undefined for anything else. */
export const anyAmount = (text: string): Amount | undefined =>
  share(text) ?? inUnits(text, { ...thousands, ...sizes });

/** What the pruned model may cost. @param mark - between the words of a flag */
export const budgetOptions = (mark: '-' | '_' = '-'): Option[] => [
  amountOption(
    `--target${mark}macs <amount>`,
    'MACs per image that the model may have, such as 3M or 0.3x, in place of a rate',
    'macs',
  ),
  amountOption(
    `--target${mark}params <amount>`,
    'parameters that it may have, such as 1.5M or 0.3x',
    'params',
  ),
  amountOption(
    `--target${mark}file <size>`,
    'bytes that its file may have, such as 5MB, 4MiB or 0.3x',
    'file',
  ),
  new Option(
    `--target${mark}latency <time>`,
    'time that a batch may take on this machine, such as 2ms, 30ms@64 or 0.5x@64 (default batch: 1)',
  ).argParser((text: string): LatencyBudget => {
    const [time = '', batch = '1', ...rest] = text.split('@');
    const ms = share(time) ?? inUnits(time, { MS: 1, S: 1000 });
    const images = /^\d+$/.test(batch.trim()) ? Number(batch) : 0;
    if (ms !== undefined && inRange(images, batches) && rest.length === 0) {
      return { ms, batch: images };
    }
    throw new InvalidArgumentError(
      `Expected a time above 0ms, or a share above 0x and below 1x, and ${rangeWords('a batch size', batches)}, such as 2ms@1, 30ms@64 or 0.5x@64.`,
    );
  }),
];
