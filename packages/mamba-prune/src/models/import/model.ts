// Models from files of other programs: timm's and torchvision's checkpoints, training scripts' own.
import type { Tensor } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { preprocessingOf } from '../../preparation/preprocessing.js';
import { type OptionKind, checkOptions, requirePath } from '../../option-checks.js';
import { listed, printableLine } from '../../printable.js';
import { familyNamed, modelOptions, readingOptions } from '../families.js';
import type { ImageModel, ModelConfigBase } from '../image-model.js';
import { type ModelInfo, isModelFile, loadModel } from '../model-file.js';
import { chooseStateDict } from './choice.js';
import { importDescribed } from './described.js';
import { fileKind } from './file.js';
import type { SaidInfo } from './info.js';
import type { LayoutOptions, Shapes } from './layout.js';
import { telling } from './read.js';
import { fromTensors, withNotes } from './weights.js';

export interface ImportOptions extends LayoutOptions, SaidInfo {
  /**
   * Where the state dict is, with points: `state_dict_ema`, `checkpoint.model`, `0` in a tuple; a prefix of the
   * names may follow (`state_dict.encoder_k`), and `.` is the top of the file. By default it is found in the usual places.
   */
  readonly key?: string | undefined;
  /**
   * Name of the layer that classifies, where the file has several that may: `fc_a`, as the file has it. It may be a Sequential, and
   * several names with commas between them (`bn,fc`) are layers in the order in which they run: a linear one, and BatchNorms around it.
   */
  readonly classifier?: string | undefined;
  /** As for `loadModel`. */
  readonly allowNotFinite?: boolean | undefined;
}

/** Beside the options of the families, whose values are looked at where their ranges are known. */
const ownKinds: Readonly<Record<string, OptionKind>> = {
  key: 'string',
  classifier: 'string',
  dataset: 'string',
  classes: 'array',
  mean: 'array',
  std: 'array',
  interpolation: 'any',
  cropShare: 'any',
  allowNotFinite: 'boolean',
  arch: 'string',
};

/**
 * @param where - as the message begins
 * @throws UsageError for an option that there is not, with those that there are
 */
export function checkImportOptions(where: string, options: ImportOptions): void {
  checkOptions(where, options, importKinds());
}

/** Widths are read off the file: who says `expand` hears it there. */
function importKinds(): Record<string, OptionKind> {
  const families = [...modelOptions(), ...readingOptions()].map(
    ({ name, values }) => [name, values.type === 'switch' ? 'boolean' : 'any'] as const,
  );
  return { ...ownKinds, ...Object.fromEntries(families) };
}

export interface ImportedModel {
  /** In evaluation mode; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  /** What the file does not tell and nobody said, with the value taken, such as `imageSize 224`. */
  readonly assumed: readonly string[];
  /**
   * Whole sentences for people: which of several state dicts was taken, what was left out, what was converted,
   * and why what is assumed was taken.
   */
  readonly notes: readonly string[];
}

/**
 * Reads a model from a file, whoever wrote it; what it is is told by its content:
 *
 * - a model file of ours, which describes itself;
 * - a state dict in timm's, torchvision's, Hugging Face's, mmpretrain's, kuangliu's, VMamba's, Vim's or the PyTorch vision Mamba's layout,
 *   as safetensors or written by `torch.save` of any version from PyTorch 0.1.10 on, of tensors or of arrays of numpy,
 *   or a whole module; dense or with channels cut out, pruned by `torch.nn.utils.prune` or under weight
 *   normalisation. Nothing pickled in the file is run.
 *
 * Of several state dicts an average of the weights is taken first (`state_dict_ema`, `model_ema`, `ema`, as
 * timm's `load_state_dict` does), then `state_dict`, `model_state_dict`, `model_state`, `model`, `net` ..., then
 * what lies at the top, then any other; teachers and momentum encoders come last. Inside of a state dict any
 * prefix may stand before the names (`module.`, `backbone.`, `encoder_q.` ...); what does not lie behind it is
 * left out.
 *
 * What no shape tells and the caller does not say is taken from what the file says of itself: settings of its script, names of its
 * classes, mean and deviation, and of a whole module that was pickled what its modules say. `notes` says which. Files beside it
 * are not looked at (`openModel` does that).
 *
 * The architecture is found from the shapes where they make it certain; sizes, widths and classes
 * always come from them. Forms that a model here does not have but can compute (LayerScale, attention
 * without biases, shortcuts without parameters ...) are converted, which `notes` says.
 *
 * @throws FormatError if the file is damaged, of no known layout, or its tensors do not fit together;
 *   lists what is missing, unexpected or of another shape
 * @throws UsageError if the file cannot be opened, the architecture is not certain, or an option
 *   contradicts the file
 */
export async function importModel(
  path: string,
  options: ImportOptions = {},
): Promise<ImportedModel> {
  requirePath('importModel', path, 'a file with weights');
  checkImportOptions('importModel', options);
  const kind = fileKind(path);
  if (kind.format === 'safetensors' && isModelFile(path)) {
    const { key, classifier, allowNotFinite = false, ...said } = options;
    if (key !== undefined) {
      throw new UsageError(
        `import: \`key\`: got "${key}" for ${path}, a model file of mamba-prune, which has no keys. Leave it out.`,
      );
    }
    if (classifier !== undefined) throw ownClassifier(path, classifier);
    const { model, info } = loadModel(path, { allowNotFinite });
    try {
      checkSaid(path, { ...model.config, ...preprocessingOf(info, model.config.imageSize) }, said);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return { model, info, assumed: [], notes: [] };
  }
  return alone(await importDescribed(path, options));
}

/**
 * As `importModel`, from tensors in memory. Their values are copied; the caller keeps the tensors.
 * @throws FormatError, UsageError
 */
export function importStateDict(
  tensors: ReadonlyMap<string, Tensor>,
  options: ImportOptions = {},
): ImportedModel {
  if (!((tensors as unknown) instanceof Map)) {
    throw new UsageError('importStateDict: got no Map, expected one of tensors by name.');
  }
  checkImportOptions('importStateDict', options);
  if (tensors.size === 0) return alone(fromTensors(tensors, options));
  const dict = { key: '', shapes: shapesOf(tensors) };
  const { key, classifier } = options;
  const { names, notes, advice } = chooseStateDict([dict], telling, key, classifier);
  const chosen = new Map(
    Array.from(names).flatMap(([name, stored]) => {
      const tensor = tensors.get(stored);
      return tensor === undefined ? [] : [[name, tensor] as const];
    }),
  );
  return alone(withNotes(notes, () => fromTensors(chosen, options), advice));
}

/** The refusal of a classifier for a file that has one alone, and says which. */
export const ownClassifier = (path: string, classifier: string): UsageError =>
  new UsageError(
    `import: \`classifier\`: got '${printableLine(classifier)}' for ${path}, which describes itself and has one classifier. Leave it out.`,
  );

/** Without what only the room has use for. */
const alone = ({ model, info, assumed, notes }: ImportedModel): ImportedModel => ({
  model,
  info,
  assumed,
  notes,
});

const shapesOf = (tensors: ReadonlyMap<string, Tensor>): Shapes =>
  new Map(Array.from(tensors, ([name, { shape }]) => [name, shape]));

/** @throws UsageError naming every option that a model of ours contradicts */
function checkSaid(path: string, config: ModelConfigBase, options: ImportOptions): void {
  const has: Readonly<Record<string, unknown>> = { ...familyNamed(config).usual, ...config };
  const wrong = Object.entries(options)
    .filter(([name, value]) => value !== undefined && has[name] !== undefined)
    .map(([name, value]) => [name, JSON.stringify(has[name]), JSON.stringify(value)] as const)
    .filter(([, there, said]) => there !== said);
  if (wrong.length === 0) return;
  const list = wrong.map(([name, there, said]) => `\`${name}\` ${there}, asked for ${said}`);
  throw new UsageError(
    `${path}: got a model of ${listed(list)}. Leave these options out: the file describes itself.`,
  );
}
