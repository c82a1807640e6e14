// Errors name options as the library has them; the command line names its flags.
import { modelOptions } from '../models/families.js';
import { flagOf as spelled } from './options/flag-name.js';

/**
 * What the library calls what flags have other names for, of which a command has one; options of models say theirs. Options
 * within others stand behind their names.
 */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  key: ['weights'],
  dir: ['data'],
  out: ['expName'],
  batches: ['batch'],
  rates: ['rate'],
  'rsst.epochs': ['regEpochs'],
  'finetune.epochs': ['finetuneEpochs'],
  'finetune.lr': ['finetuneLr'],
  'tune.seed': ['tuneSeed'],
  'tune.rate': ['tuneRate'],
};

/** Commands whose options messages of others name too: `train.keepEpochs` is `train --keep-epochs`. */
const otherCommands = ['quickstart', 'train', 'sensitivity'];

/** Names of options of models with their flags. */
const modelFlags = (): Map<string, string> =>
  new Map(
    modelOptions().flatMap(({ name, flag }): [string, string][] =>
      flag === undefined ? [] : [[name, flag.replace(/ .*$/, '')]],
    ),
  );

/** Names that are no words, so that they mean options wherever they stand alone. */
const unmistakable =
  /(?<![\w./\\'"`-])(?:numClasses|imageSize|cachedSize|patchSize|dModel|dState|dConv|dropPath|baseWidth|headDim|resamplePositions|mlpRatio)(?![\w/\\'"`-]|\.\w)/g;

/** Settings of several words, as the library spells them in its messages. */
const hyphenated = /(?<![\w./\\'"`-])[a-z]+(?:-[a-z]+)+(?![\w/\\'"`-]|\.\w)/g;

/** What a program calls where the command line has a flag; every command has this one. */
const pluginCall = /\bloadPlugin\('(.+?)'\)/g;

/** What a message advises of `loadPlugin`, as the command line has it. */
const pluginsInFlags = (text: string): string =>
  text.replaceAll(pluginCall, '--plugin $1').replaceAll('`loadPlugin`', '--plugin');

/** How a program leaves groups whole, for which the command line has a flag of its own. */
const excluding = 'a rate of 0 in `rateOf`';

const within = `(?:(?:rsst|recipe|finetune|tune|${otherCommands.join('|')})\\.)?`;
const oneName = `\`${within}[a-zA-Z]\\w*\``;
const quotedNames = new RegExp(`${oneName}(?:, ${oneName})*`, 'g');

/** One of several things that a message advises, with the option for it: `, let the size be found (\`autoBatch\`)`. */
const alternative = /, (?:or )?[^,.:;()`]+ \(`([\w.]+)`\)(?=, |\.)/g;

/**
 * As values of options are refused: `TrainOptions: warmupEpochs: got 9`. Those of a comparison's trainings stand within
 * what all of its options are: `train.recipe.lr`.
 */
const valued = new RegExp(`(?<=[:;] )(?:train\\.recipe\\.)?${within}[a-z]\\w*(?=: got )`, 'g');

/** As options are refused that an architecture does not have. */
const refused = /got the option ('\w+'(?:, '\w+')*), expected some of (\w+(?:, \w+)*)/g;

/** Words that messages of libtorch, and some of importing, put before the name of an option without quotes. */
const spokenOf =
  /\b(option|with|got|got the|values for|in) (arch|key|heads|classes|mean|std|scan)\b(?!-)/g;

/**
 * The message of an error with the names of options as the command spells them. Where it lists several, those
 * that the command does not have are left out, as are things it advises to do with them where others remain.
 * @param flags - of the command, with their dashes: `--d-model`, `--d_model`
 * @param options.isUsage - it is about what was given, so that names which are no words mean options too
 */
export function inFlags(
  message: string,
  flags: readonly string[],
  { isUsage = true }: { readonly isUsage?: boolean } = {},
): string {
  const byName = new Map(flags.map((flag) => [plain(flag), flag]));
  const ofModels = modelFlags();
  const flagOf = (name: string): string | undefined => {
    const [of = '', own = name] = name.split('.');
    // A flag of that name here would be another one: `prune --resume` goes on with no training of the model.
    if (name !== own && otherCommands.includes(of)) return `${of} ${spelled(own)}`;
    const names = [ofModels.get(own) ?? own, ...(otherNames[name] ?? [])];
    // What stands for the whole name comes before its last part: --epochs is not what `rsst.epochs` means.
    const known = (name === own ? names : names.reverse()).map((each) => byName.get(plain(each)));
    return known.find((flag) => flag !== undefined);
  };
  const isImporting = /\b(?:import\w*|collectStateDict): /.test(message);
  const spoken = isImporting
    ? message.replaceAll(spokenOf, (all: string, before: string, name: string) => {
        const flag = flagOf(name);
        return flag === undefined ? all : `${before.replace(/ the$/, '')} ${flag}`;
      })
    : message;
  const excluded =
    flagOf('exclude') === undefined
      ? spoken
      : spoken.replaceAll(excluding, `\`exclude\`, or ${excluding}`);
  const shown = pluginsInFlags(excluded)
    .replaceAll(refused, (all, got: string, known: string) => {
      const inQuotes = got.replaceAll("'", '`');
      return flagOf(got.split("'")[1] ?? '') === undefined
        ? all
        : `got the option ${inQuotes}, expected some of \`${known.replaceAll(', ', '`, `')}\``;
    })
    .replaceAll(alternative, (all, name: string) => (flagOf(name) === undefined ? '' : all))
    .replaceAll(quotedNames, (list) => {
      const names = list.split(', ').map((name) => name.slice(1, -1));
      const known = names.map(flagOf).filter((flag) => flag !== undefined);
      return known.length > 0 ? known.join(', ') : names.join(', ');
    });
  if (!isUsage) return shown;
  // Exactly: `warm-up` is a word, and no `--warmup`.
  const exact = new Map(flags.map((flag) => [flag.replace(/^--/, '').replaceAll('_', '-'), flag]));
  return shown
    .replaceAll(valued, (name) => flagOf(name.replace(/^train\./, '')) ?? name)
    .replaceAll(unmistakable, (name) => flagOf(name) ?? name)
    .replaceAll(hyphenated, (name) => exact.get(name) ?? name);
}

const plain = (name: string): string => name.replaceAll(/[-_]/g, '').toLowerCase();
