// Weights read with what is said of them in files, which may not fit: such options are given up where that is no mistake.
import { defined } from '../../defined.js';
import { UsageError, isUsageError } from '../../errors.js';
import { families, familyNamed } from '../families.js';
import { withFileName } from '../file-checks.js';
import { type HintName, entryOf, hintNames, whereOf } from './card-info.js';
import type { ModelCardConfig } from './card.js';
import type { ModelModules, ScriptArguments } from './layout.js';
import type { ImportOptions, ImportedModel } from './model.js';
import type { ChosenWeights, TracedModel } from './weights.js';
import { written } from './written.js';

/** Weights that are read again with other options where the first do not fit. */
export class Source {
  readonly #path: string;
  readonly #weights: ChosenWeights;
  readonly #args: ScriptArguments;
  readonly #modules: ModelModules | undefined;

  constructor(
    path: string,
    weights: ChosenWeights,
    args: ScriptArguments,
    modules: ModelModules | undefined,
  ) {
    this.#path = path;
    this.#weights = weights;
    this.#args = args;
    this.#modules = modules;
  }

  import(options: ImportOptions): TracedModel {
    return withFileName(this.#path, () => this.#weights.import(options, this.#args, this.#modules));
  }

  /** @returns undefined where the options do not fit */
  importIfPossible(options: ImportOptions): TracedModel | undefined {
    return ifPossible(() => this.import(options));
  }
}

function ifPossible<T>(importing: () => T): T | undefined {
  try {
    return importing();
  } catch (error) {
    if (isUsageError(error)) return undefined;
    throw error;
  }
}

/** What importing itself has use for; sizes that shapes tell are not among it. */
function hintsOf(
  { arch, heads, headDim, pooling, layerNormEps, activation: named }: ModelCardConfig,
  said: ImportOptions,
): ImportOptions {
  // A card of another architecture than the one that was named is not that of the weights.
  const isOther = said.arch !== undefined && arch !== undefined && said.arch !== arch;
  // Only a ViT has heads; in a ResNet's card such an entry is of something else.
  const eps = heads === undefined && headDim === undefined ? undefined : layerNormEps;
  // The number that is said is of heads as wide as it makes them.
  const width = said.heads === undefined ? headDim : undefined;
  // What is another one is refused with the name of the file that says it.
  const isUsual = families().some(({ layout }) => layout?.card?.activation === named);
  const activation = heads !== undefined && isUsual ? named : undefined;
  const sizes = { arch, heads, headDim: width, pooling, eps, activation };
  return isOther ? {} : defined(sizes);
}

/** A model that was read. */
export interface Hinted {
  readonly imported: TracedModel;
  /** With which it was. */
  readonly hints: ImportOptions;
}

/**
 * The size of the images that a file says is taken where no shape tells one, and where positions are for images of two sizes. Elsewhere
 * it is not asked: weights that were trained on at another size often lie beside the file of those that they began as.
 */
function importSized(source: Source, hints: ImportOptions, { imageSize }: ModelCardConfig): Hinted {
  if (imageSize === undefined || hints.imageSize !== undefined) {
    return { imported: source.import(hints), hints };
  }
  const sized = { ...hints, imageSize };
  try {
    const imported = source.import(hints);
    const isAssumed = imported.assumed.some((entry) => entry.startsWith('imageSize '));
    const again = isAssumed ? source.importIfPossible(sized) : undefined;
    if (again === undefined) return { imported, hints };
    imported.model.dispose();
    return { imported: again, hints: sized };
  } catch (error) {
    if (!isUsageError(error)) throw error;
    const imported = source.importIfPossible(sized);
    // The error of the reading that was asked for says more.
    if (imported === undefined) throw error;
    return { imported, hints: sized };
  }
}

/**
 * Where what files say does not fit, and is no mistake:
 *
 * - timm names the architecture that a model began as, and not always with what other depth it was made, so that the shapes
 *   come closest to that same architecture;
 * - a script has settings of models with attention and was called for another one.
 */
function importAnother(
  source: Source,
  hints: ImportOptions,
  own: readonly HintName[],
  card: ModelCardConfig,
): Hinted | undefined {
  const without = (...names: HintName[]): ImportOptions =>
    Object.fromEntries(
      Object.entries(hints).filter(
        ([name]) => !own.includes(name as HintName) || !names.includes(name as HintName),
      ),
    );
  const isOfFamily = ({ model }: ImportedModel): boolean => model.config.arch === hints.arch;
  const hasNoHeads = ({ model }: ImportedModel): boolean =>
    !Object.hasOwn(familyNamed(model.config).options, 'heads');
  for (const [names, fits] of [
    [['arch'], isOfFamily],
    [['heads', 'headDim', 'pooling', 'eps'], hasNoHeads],
  ] as const) {
    if (!names.some((name) => own.includes(name))) continue;
    const found = ifPossible(() => importSized(source, without(...names), card));
    if (found === undefined) continue;
    if (fits(found.imported))
      return names[0] === 'arch'
        ? { ...found, hints: { ...found.hints, arch: hints.arch } }
        : found;
    found.imported.model.dispose();
  }
  return undefined;
}

/**
 * @param card - what files say
 * @param said - what the caller says, which goes before
 * @throws FormatError, UsageError as `importModel`; says which file has said what does not fit
 */
export function importWith(source: Source, card: ModelCardConfig, said: ImportOptions): Hinted {
  const hints = { ...hintsOf(card, said), ...defined(said) };
  try {
    return importSized(source, hints, card);
  } catch (error) {
    const own = hintNames.filter((name) => hints[name] !== undefined && said[name] === undefined);
    if (!isUsageError(error) || own.length === 0) throw error;
    const another = importAnother(source, hints, own, card);
    if (another !== undefined) return another;
    throw new UsageError(
      `${(error as Error).message} (${sayers(own, hints, card)}. What is given as an option goes before.)`,
      { cause: error },
    );
  }
}

/** `arch vit_small and heads 6: so says the config.json beside it` */
function sayers(
  names: readonly HintName[],
  hints: ImportOptions,
  { from }: ModelCardConfig,
): string {
  const places = [...new Set(names.map((name) => from[entryOf(name)] ?? ''))];
  return places
    .map((place) => {
      const own = names.filter((name) => (from[entryOf(name)] ?? '') === place);
      const list = own.map((name) => `${name} ${written(hints[name])}`).join(' and ');
      return `${list}: so says ${whereOf(place)}`;
    })
    .join('; ');
}
