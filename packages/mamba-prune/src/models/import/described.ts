// A model from a file of another program, with what is said of it: by the caller, by the file itself, and by what lies beside it.
import { basename } from 'node:path';
import { FormatError } from '@mamba-prune/libtorch';
import { listed, printableLine } from '../../printable.js';
import { familyNamed } from '../families.js';
import { withFileName } from '../file-checks.js';
import type { ImageModel } from '../image-model.js';
import { type CardObstacle, nameObstacles } from './card-family.js';
import { takenFrom, whereOf } from './card-info.js';
import type { ModelCardConfig } from './card.js';
import { checkpointCard, withCheckpointCard } from './checkpoint-card.js';
import { type FileWords, wordsOf } from './file-words.js';
import { fileKind, openWeights } from './file.js';
import { Source, importWith } from './hinted.js';
import { type InnerNormalisation, innerNormalisation } from './inner-normalisation.js';
import type { ImportOptions, ImportedModel } from './model.js';
import { checkHeads, checkModules } from './module-checks.js';
import { classOf } from './module-place.js';
import { hooksOf } from './module-words.js';
import { ownSizes } from './read.js';
import { ChosenWeights, type TracedModel } from './weights.js';

/** What lies beside a file of weights and describes them. */
export interface Beside {
  readonly card: ModelCardConfig;
  /** What the config.json there names that no model here computes. */
  readonly obstacles: readonly CardObstacle[];
}

export interface DescribedModel extends ImportedModel {
  /** What was said and found: with these options the weights alone give the same. */
  readonly options: ImportOptions;
}

/**
 * As `importModel`, of a file that is none of ours. What the caller does not say is taken from what the file says of itself, then
 * from what lies beside it; only then is it assumed.
 *
 * @param said - goes before what any file says
 * @throws FormatError, UsageError as `importModel`
 */
export async function importDescribed(
  path: string,
  said: ImportOptions,
  beside: Beside = { card: { from: {} }, obstacles: [] },
): Promise<DescribedModel> {
  const file = await openWeights(path, fileKind(path));
  try {
    const weights = withFileName(path, () => new ChosenWeights(path, file, said));
    try {
      const words = wordsOf(file, weights.choice);
      checkHeads(path, words.modules, said);
      const inner = innerNormalisation(file, weights.choice, words.modules);
      const own = checkpointCard(words, inner);
      const card = withCheckpointCard(beside.card, own.card);
      const source = new Source(path, weights, words.words.scriptArguments, words.modules);
      const { imported, hints } = importWith(source, card, said);
      try {
        checkActivation(path, imported.model, card);
        checkObstacles(path, imported.model, own.obstacles, 'file');
        checkObstacles(path, imported.model, beside.obstacles, 'config.json beside it');
        const named = nameObstacles(basename(path), familyNamed(imported.model.config));
        const wrong = ' Where the name says otherwise than it is, rename the file.';
        checkObstacles(path, imported.model, named, 'name of the file', wrong);
        // A setting says more than the module that was made by it.
        checkModules(path, imported.model, words.modules, said, imported.origins);
        const noted = [aroundNote(words), innerNote(inner), hooksNote(words)].reduce(
          withNote,
          withScores(imported, words),
        );
        return withTaken(noted, card, hints, said);
      } catch (error) {
        imported.model.dispose();
        throw error;
      }
    } finally {
      weights.dispose();
    }
  } finally {
    file.close();
  }
}

function withTaken(
  imported: TracedModel,
  card: ModelCardConfig,
  hints: ImportOptions,
  said: ImportOptions,
): DescribedModel {
  const { model, notes } = imported;
  const taken = takenFrom(card, imported, hints, said);
  const sizes = hints.arch === undefined ? {} : ownSizes(model.config);
  return {
    model,
    info: taken.info,
    assumed: taken.assumed,
    notes: [...notes, ...taken.notes, ...scaleNotes(said)],
    options: { ...hints, ...sizes, ...taken.options },
  };
}

/** With attentions that scale their scores as those of the file do. */
function withScores(imported: TracedModel, { modules }: FileWords): TracedModel {
  const { model } = imported;
  const scales = modules?.attention?.scales ?? [];
  const changed =
    familyNamed(model.config).layout?.scaleScores?.(
      model,
      scales.map((scale) => scale?.value),
    ) ?? [];
  const [first] = changed;
  if (first === undefined) return imported;
  const isOne = changed.length === 1;
  const note =
    `${isOne ? 'An attention scales its scores' : `${changed.length} attentions scale their scores`} otherwise than by 1 over the root of the width of a head ` +
    `(${printableLine(scales[first]?.at ?? '')} ${scales[first]?.value.toPrecision(4)}): ${isOne ? 'its' : 'their'} queries were multiplied, which computes the same.`;
  return withNote(imported, note);
}

/** What is computed before and behind the model, which the model that is read does not compute. */
function aroundNote({ modules }: FileWords): string | undefined {
  const around = modules?.around ?? [];
  if (around.length === 0) return undefined;
  const names = around.map(({ at, module }) => printableLine(`${at} (${classOf(module)})`));
  return `Left out: ${listed(names)}, which the file has before or behind the model: the answers are those of the model alone.`;
}

/** Whoever prepares images for the file's model must know that they are no longer to be normalised by it alone. */
const innerNote = (inner: InnerNormalisation | undefined): string | undefined =>
  inner &&
  `The file normalises its images in the model, by ${printableLine(inner.mean.at)} and ${printableLine(inner.std.at)}; here that is done before the model.`;

/** A hook may change what a layer takes or gives; most only look at it. */
function hooksNote({ modules }: FileWords): string | undefined {
  const hooked = modules?.hooked ?? [];
  if (hooked.length === 0) return undefined;
  const names = hooked.map(({ at, module }) =>
    printableLine(`${hooksOf(module).join(' and ')} (${at === '' ? 'the model itself' : at})`),
  );
  return (
    `Left out: hooks of the forward pass, ${listed(names)}. Nothing that is pickled is run: where a hook changes what a layer takes or gives, ` +
    'the answers here are others than those of the file.'
  );
}

/** The model's history keeps the notes, too. */
function withNote(imported: TracedModel, note: string | undefined): TracedModel {
  if (note === undefined) return imported;
  const { info } = imported;
  const notes = [...imported.notes, note];
  const history = info.history.map((step) =>
    step['step'] === 'import' ? { ...step, notes } : step,
  );
  return { ...imported, info: { ...info, history }, notes };
}

/** Other programs give mean and deviation of pixels from 0 to 255 too; then nothing else would show it. */
function scaleNotes(said: ImportOptions): string[] {
  return (['mean', 'std'] as const).flatMap((name) => {
    const large = said[name]?.find((value) => Math.abs(value) > 2);
    return large === undefined
      ? []
      : [
          `\`${name}\` ${large} was taken as it is, of pixels from 0 to 1. If it is of pixels up to 255, divide it by 255.`,
        ];
  });
}

/** Weights run with another function between the layers than they were trained with give other results. */
function checkActivation(path: string, { config }: ImageModel, card: ModelCardConfig): void {
  const { activation, from } = card;
  const { title, layout } = familyNamed(config);
  const usual = layout?.card?.activation;
  if (usual === undefined || activation === undefined || activation === usual) return;
  throw new FormatError(
    `${path}: got a ${title} whose neurons compute ${printableLine(activation)} (hidden_act in ${whereOf(from.activation ?? '')}), ` +
      `expected ${usual}, which is the only one that there is.`,
  );
}

/** As `checkActivation`, for all else that no shape tells. */
function checkObstacles(
  path: string,
  { config }: ImageModel,
  obstacles: readonly CardObstacle[],
  place: string,
  advice = '',
): void {
  const own = obstacles.filter(({ family }) => family.name === config.family);
  if (own.length === 0) return;
  throw new FormatError(
    `${path}: got a ${familyNamed(config).title} with ${own.map(({ what }) => what).join(', and with ')}, as the ${place} says, ` +
      `expected one without: no architecture here has it.${advice}`,
  );
}
