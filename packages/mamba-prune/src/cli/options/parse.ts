// Values of options, checked where they are parsed: a wrong one ends the program before any work.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Range, inRange, rangeWords } from '../../checks.js';
import { didYouMean, editDistance } from '../../data/suggest.js';

/** Every number has an end: what lies beyond would hang or be ended by the system, hours later maybe. */
type Bounded = Range & ({ readonly max: number } | { readonly below: number });

function toNumber(text: string): number {
  return text.trim() === '' ? NaN : Number(text);
}

/** What commander calls the value of a flag: `dModel` for `--d-model <n>`. */
export const attributeOf = (flag: string): string => new Option(flag).attributeName();

export function addOptions(command: Command, options: readonly Option[]): void {
  for (const option of options) command.addOption(option);
}

/** An option whose value is a number. */
export function numberOption(flags: string, description: string, range: Bounded): Option {
  return new Option(flags, description).argParser((text: string) => {
    const value = toNumber(text);
    if (inRange(value, range)) return value;
    throw new InvalidArgumentError(`Expected ${rangeWords('a number', range)}.`);
  });
}

/** An option whose value is an integer. */
export function integerOption(flags: string, description: string, range: Bounded): Option {
  return new Option(flags, description).argParser((text: string) => {
    const value = toNumber(text);
    if (Number.isSafeInteger(value) && inRange(value, range)) return value;
    throw new InvalidArgumentError(`Expected ${rangeWords('an integer', range)}.`);
  });
}

/** An option whose value is a list of integers: 1,64 */
export function integersOption(
  flags: string,
  description: string,
  range: Bounded & {
    /** A number may come again, as in 3,3,3; default false. */
    readonly repeats?: boolean;
    /** Each is larger than the one before; default false. */
    readonly rises?: boolean;
  },
): Option {
  return new Option(flags, description).argParser((text: string) => {
    const values = text.split(',').map(toNumber);
    if (values.every((value) => Number.isSafeInteger(value) && inRange(value, range))) {
      if (range.repeats !== true) checkOnce(values);
      const low = values.findIndex((value, i) => i > 0 && value < (values[i - 1] as number));
      if (range.rises === true && low > 0) {
        throw new InvalidArgumentError(
          `Got ${values[low]} after ${values[low - 1]}, expected each to be larger than the one before.`,
        );
      }
      return values;
    }
    throw new InvalidArgumentError(
      `Expected ${rangeWords('integers', range)}, separated by commas.`,
    );
  });
}

/** An option whose value is a list of numbers: 0.485,0.456,0.406 */
export function numbersOption(flags: string, description: string, range: Bounded): Option {
  return new Option(flags, description).argParser((text: string) => {
    const values = text.split(',').map(toNumber);
    if (values.every((value) => inRange(value, range))) return values;
    throw new InvalidArgumentError(
      `Expected ${rangeWords('numbers', range)}, separated by commas.`,
    );
  });
}

/** @throws InvalidArgumentError naming what is in a list twice: one of the two was meant to be another */
export function checkOnce(values: readonly (string | number)[]): void {
  const twice = values.find((value, i) => values.indexOf(value) < i);
  if (twice !== undefined) throw new InvalidArgumentError(`Got ${twice} twice, expected it once.`);
}

/** An option whose value is one of a few words. */
export function choiceOption(
  flags: string,
  description: string,
  /** The words, or with each what help says of it. */
  choices: readonly string[] | Readonly<Record<string, string>>,
  /** What help says happens without it; the value is filled in elsewhere. */
  fallback?: string,
): Option {
  const words = isList(choices) ? choices : Object.keys(choices);
  const shown = isList(choices)
    ? choices
    : Object.entries(choices).map(([word, said]) => `${word} (${said})`);
  const text = `${description}: ${shown.join(', ')}`;
  return new Option(
    flags,
    fallback === undefined ? text : `${text} (default: ${fallback})`,
  ).argParser((value: string) => checkChoice(value, words));
}

const isList = (choices: object): choices is readonly string[] => Array.isArray(choices);

/** The option, reading a word that it had before as the one of today. */
export function withEarlierWords(option: Option, today: (word: string) => string): Option {
  const { parseArg } = option;
  if (parseArg) option.parseArg = (value, previous) => parseArg(today(value), previous);
  return option;
}

/** The option, taking further words that help does not list: each is refused later, with a reason of its own. */
export function withRefusedWords(option: Option, refused: readonly string[]): Option {
  const { parseArg } = option;
  if (!parseArg) return option;
  return option.argParser((value, previous: unknown) =>
    refused.includes(value) ? value : parseArg(value, previous),
  );
}

/** An option under a name that it had before: read as today's, and shown nowhere. */
export function earlierOption(flags: string, today: Option): Option {
  const option = new Option(flags).hideHelp();
  if (today.parseArg) option.parseArg = today.parseArg;
  option.attributeName = () => today.attributeName();
  return option;
}

/** @throws InvalidArgumentError with the words there are, and the one that may have been meant */
export function checkChoice(text: string, choices: readonly string[]): string {
  if (choices.includes(text)) return text;
  throw new InvalidArgumentError(`Expected ${listed(choices)}.${suggestion(text, choices)}`);
}

/** As commander words it, or nothing. */
export function suggestion(text: string, choices: readonly string[]): string {
  const [meant] = didYouMean(text, choices);
  // A mistyped beginning of a long name: fashon for fashion-mnist.
  const begun = choices.find(
    (choice) => text.length > 3 && editDistance(text, choice.slice(0, text.length + 1)) <= 1,
  );
  const best = meant ?? begun;
  return best === undefined ? '' : `\n(Did you mean ${best}?)`;
}

/** `a, b or c` */
export function listed(words: readonly string[], last: 'and' | 'or' = 'or'): string {
  return words.length > 1
    ? `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1) ?? ''}`
    : words.join();
}
