// The flags of a script: what is wrong with them is one sentence and exit status 2, and --help shows the comment that the
// script begins with. Everything under benchmarks/, scripts/ and test/ that takes flags reads them here.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

const script = process.argv[1] ?? '';
const name = basename(script, '.mjs');

/** Ends the script: what was asked for is wrong. */
export function refuse(message) {
  console.error(`${name}: ${message.replace(/\.?$/, '.')}`);
  process.exit(2);
}

/** Whether an error is of the code, which is found by its stack: others say themselves what was missing or wrong. */
const isMistake = (error) =>
  !(error instanceof Error) ||
  [TypeError, ReferenceError, SyntaxError, RangeError].some((kind) => error instanceof kind);

/** Checks of the values of flags: `accepts` a text or not, and `expected` says what it would. */
export const whole = (least = 1, most = Infinity) => ({
  accepts: (text) => /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most,
  expected: `a whole number from ${least}${most === Infinity ? '' : ` to ${most}`}`,
  many: `whole numbers from ${least}${most === Infinity ? '' : ` to ${most}`}`,
});

export const aboveZero = {
  accepts: (text) => Number(text) > 0 && Number.isFinite(Number(text)),
  expected: 'a number above 0',
  many: 'numbers above 0',
};

export const share = {
  accepts: (text) => text.trim() !== '' && Number(text) >= 0 && Number(text) < 1,
  expected: 'a share of at least 0 and below 1',
  many: 'shares of at least 0 and below 1',
};

export const oneOf = (...words) => ({
  accepts: (text) => words.includes(text),
  expected: `one of ${words.join(', ')}`,
  many: `some of ${words.join(', ')}`,
});

/**
 * @param check - of each part between commas
 * @param orNone - whether the list may be empty
 */
export const listOf = (check, { orNone = false } = {}) => ({
  accepts: (text) =>
    (orNone && text === '') || text.split(',').every((part) => check.accepts(part)),
  expected: `${check.many}, separated by commas`,
  /** The part that is wrong, where it can be shown. */
  partOf: (text) => text.split(',').find((part) => !check.accepts(part)),
});

/** The parts of a list that `listOf` has checked. */
export const wordsOf = (text) => (text === '' ? [] : text.split(','));

/** The same as numbers. */
export const numbersOf = (text) => wordsOf(text).map(Number);

/**
 * What was typed. An error of the library about an argument, later on, ends the script as a wrong flag does, and any other
 * that says what is wrong by its message and status 1.
 * @param options - as `parseArgs` of Node.js takes them; `value` is a check of the text, `required` says what it is
 * @param arguments_.least, arguments_.most - number of arguments beside the flags. Default 0.
 * @param arguments_.what - what they are, for the refusal
 */
export function readFlags(options, { least = 0, most = 0, what = 'no arguments' } = {}) {
  process.on('uncaughtException', (error) => {
    if (error?.name === 'UsageError' || error?.isUsage === true) refuse(error.message);
    console.error(isMistake(error) ? error : `${name}: ${error.message}`);
    process.exit(1);
  });
  const { values, positionals } = parsed(options);
  if (values.help) {
    console.log(description());
    process.exit(0);
  }
  if (positionals.length < least || positionals.length > most) {
    const got = positionals.length === 0 ? 'nothing' : positionals.join(' ');
    refuse(`got ${got}, expected ${what}`);
  }
  for (const [flag, { value, required }] of Object.entries(options)) {
    const given = values[flag];
    if (given === undefined && required !== undefined) {
      refuse(`--${flag} is missing, expected ${required}`);
    }
    // Defaults are right, and some say what no text can.
    if (value === undefined || given === undefined || given === options[flag].default) continue;
    const wrong = [given].flat().find((text) => !value.accepts(text));
    if (wrong !== undefined)
      refuse(`--${flag}: got '${value.partOf?.(wrong) || wrong}', expected ${value.expected}`);
  }
  return { values, positionals };
}

function parsed(options) {
  const known = Object.fromEntries(
    Object.entries(options).map(([flag, { type, multiple, default: otherwise }]) => [
      flag,
      {
        type,
        ...(multiple !== undefined && { multiple }),
        ...(otherwise !== undefined && { default: otherwise }),
      },
    ]),
  );
  try {
    return parseArgs({
      options: { ...known, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
  } catch (error) {
    const [sentence] = error.message.split(/(?<=[^.])\. |\n/);
    return refuse(`${sentence.replace(/\.$/, '')}. Run it with --help for what it takes`);
  }
}

/** The comment that the script begins with. */
function description() {
  const lines = readFileSync(script, 'utf8')
    .replace(/^#!.*\n/, '')
    .split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ''))
    .join('\n');
}
