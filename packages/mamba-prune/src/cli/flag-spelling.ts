/**
 * Messages of the library name its options, in backquotes or as checks.ts does; the command line names its flags. What stands
 * in no backquotes is a word.
 */
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
  targets: ['target'],
  loadPlugin: ['plugin'],
  clipGradNorm: ['clipGrad'],
  emaDecay: ['ema'],
  maxTrainImages: ['trainImages'],
  maxTestImages: ['testImages'],
  'rsst.exponent': ['exponents'],
  'distill.weight': ['distill'],
  'compensate.target': ['compensate'],
};

/** What options of the library stand within, with what their flags begin with where these say it too. */
const outerNames: Readonly<Record<string, string>> = {
  rsst: 'reg',
  refill: 'refill',
  compensate: 'compensate',
  recipe: '',
  finetune: 'finetune',
  tune: 'tune',
  budget: 'target',
  distill: 'distill',
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

/** How a program leaves groups whole, for which the command line has a flag of its own. */
const excluding = 'a rate of 0 in `rateOf`';

const within = `(?:(?:${[...Object.keys(outerNames), ...otherCommands].join('|')})\\.)?`;
const oneName = `\`${within}[a-zA-Z]\\w*\``;
const quotedNames = new RegExp(`${oneName}(?:, ${oneName})*`, 'g');

/** One of several things that a message advises, with the option for it: `, let the size be found (\`autoBatch\`)`. */
const alternative = /, (?:or )?[^,.:;()`]+ \(`([\w.]+)`\)(?=, |\.)/g;

/**
 * As checks.ts refuses values: `TrainOptions: warmupEpochs: got 9`. Those of a comparison's trainings and of its cuts stand
 * within what all of its options are: `train.recipe.lr`, `cut.minWidth`.
 */
const checked = new RegExp(
  `(?<=^|[:;] )(?:train\\.(?:recipe\\.|model\\.)?|cut\\.)?${within}[a-z]\\w*(?=: got )`,
  'g',
);

/**
 * The message of an error with the names of options as the command spells them. Where it lists several, those
 * that the command does not have are left out, as are things it advises to do with them where others remain.
 * @param flags - of the command, with their dashes: `--d-model`, `--d_model`
 * @param options.isUsage - it is about what was given, and not about what a file says of itself
 */
export function inFlags(
  message: string,
  flags: readonly string[],
  { isUsage = true }: { readonly isUsage?: boolean } = {},
): string {
  const flagOf = flagsByName(flags);
  const excluded =
    flagOf('exclude') === undefined
      ? message
      : message.replaceAll(excluding, `\`exclude\`, or ${excluding}`);
  const shown = excluded
    .replaceAll(alternative, (all, name: string) => (flagOf(name) === undefined ? '' : all))
    .replaceAll(quotedNames, (list) => {
      const names = list.split(', ').map((name) => name.slice(1, -1));
      const known = names.map(flagOf).filter((flag) => flag !== undefined);
      return known.length > 0 ? known.join(', ') : names.join(', ');
    });
  if (!isUsage) return shown;
  return shown.replaceAll(
    checked,
    (name) => flagOf(name.replace(/^(?:train\.(?:model\.)?|cut\.)/, '')) ?? name,
  );
}

/** Finds the flag of an option of the library, among those of a command. */
function flagsByName(flags: readonly string[]): (name: string) => string | undefined {
  const byName = new Map(flags.map((flag) => [plain(flag), flag]));
  const ofModels = modelFlags();
  return (name) => {
    const [of = '', own = name] = name.split('.');
    // A flag of that name here would be another one: `prune --resume` goes on with no training of the model.
    if (name !== own && otherCommands.includes(of)) return `${of} ${spelled(own)}`;
    const whole = name === own ? [] : [`${outerNames[of] ?? ''}${own}`];
    const names = [
      ofModels.get(own) ?? own,
      ...whole,
      ...(otherNames[isOfRecipe(of) ? own : name] ?? []),
    ];
    // What stands for the whole name comes before its last part: --epochs is not what `rsst.epochs` means.
    const known = (name === own ? names : names.reverse()).map((each) => byName.get(plain(each)));
    return known.find((flag) => flag !== undefined);
  };
}

/** Options of a training, which are called alike in each. */
const isOfRecipe = (outer: string): boolean => outer === 'recipe' || outer === 'finetune';

const plain = (name: string): string => name.replaceAll(/[-_]/g, '').toLowerCase();
