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

/** What options of the library stand within, with the names of their flags: `*` is the option. */
const outerNames: Readonly<Record<string, string>> = {
  rsst: 'reg*',
  refill: 'refill*',
  compensate: 'compensate*',
  recipe: '*',
  import: '*',
  finetune: 'finetune*',
  tune: 'tune*',
  budget: 'target*',
  costBudget: 'target*',
  rates: '*Rate',
  distill: 'distill*',
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
 * As checks.ts refuses values: `TrainOptions: warmupEpochs: got 9`. Those of a model stand within it (`model.dModel`), those of a
 * comparison's trainings and of its cuts within what all of its options are: `train.recipe.lr`, `cut.minWidth`.
 */
const checked = new RegExp(
  `(?<=^|[:;] )(?:train\\.(?:recipe\\.|model\\.)?|model\\.|cut\\.)?${within}[a-z]\\w*(?=: got )`,
  'g',
);

/** Rates of groups by their names, which have points: `rateOf.blocks.0.ssm: got 0.2`. */
const ofGroup = /(?<=^|[:;] )rateOf\.([\w.]+)(?=: got )/g;

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
  return shown
    .replaceAll(ofGroup, (name, group: string) => {
      const flag = flagOf('rateOf');
      return flag === undefined ? name : `${flag} ${group}`;
    })
    .replaceAll(
      checked,
      (name) => flagOf(name.replace(/^(?:train\.(?:model\.)?|model\.|cut\.)/, '')) ?? name,
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
    const whole = name === own ? [] : [(outerNames[of] ?? '*').replace('*', own)];
    const names = [
      ofModels.get(own) ?? own,
      ...whole,
      ...(otherNames[isCalledAlike(of) ? own : name] ?? []),
    ];
    // What stands for the whole name comes before its last part: --epochs is not what `rsst.epochs` means.
    const known = (name === own ? names : names.reverse()).map((each) => byName.get(plain(each)));
    return known.find((flag) => flag !== undefined);
  };
}

/** Options of a training, or of a file that is read, are called alike wherever they stand. */
const isCalledAlike = (outer: string): boolean => ['recipe', 'finetune', 'import'].includes(outer);

const plain = (name: string): string => name.replaceAll(/[-_]/g, '').toLowerCase();
