// Models from files of other programs: timm's and torchvision's checkpoints, training scripts' own.
import { basename } from 'node:path';
import { FormatError, type Tensor, scope, zeros } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { preprocessingOf } from '../../preparation/preprocessing.js';
import { type OptionKind, checkOptions, requirePath } from '../../option-checks.js';
import { listed } from '../config-checks.js';
import { checkTensors, withFileName } from '../file-checks.js';
import { checkFinite } from '../finite.js';
import type { ImageModel, ModelConfigBase } from '../image-model.js';
import { chooseStateDict } from './choice.js';
import { joinParts } from './derived.js';
import { fileKind, openWeights } from './file.js';
import { type SaidInfo, infoOf } from './info.js';
import type { LayoutOptions, ScriptArguments, Shapes } from './layout.js';
import { readModel, telling } from './read.js';
import { type ModelInfo, isModelFile, loadModel } from '../model-file.js';
import { familyNamed, modelOptions, readingOptions } from '../families.js';
import { createModelFromConfig } from '../registry.js';

export interface ImportOptions extends LayoutOptions, SaidInfo {
  /**
   * Where the state dict is, with points: `state_dict_ema`, `checkpoint.model`, `0` in a tuple; a prefix of the
   * names may follow (`state_dict.encoder_k`), and `.` is the top of the file. By default it is found in the usual places.
   */
  readonly key?: string | undefined;
  /** As for `loadModel`. */
  readonly allowNotFinite?: boolean | undefined;
}

/** Beside the options of the families, whose values are looked at where their ranges are known. */
const ownKinds: Readonly<Record<string, OptionKind>> = {
  key: 'string',
  dataset: 'string',
  classes: 'array',
  mean: 'array',
  std: 'array',
  interpolation: 'any',
  cropShare: 'any',
  allowNotFinite: 'boolean',
  arch: 'string',
};

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
 * - a state dict in timm's, torchvision's, Hugging Face's, kuangliu's, VMamba's, Vim's or the PyTorch vision Mamba's layout,
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
  checkOptions('importModel', options, importKinds());
  const kind = fileKind(path);
  if (kind.format === 'safetensors' && isModelFile(path)) {
    const { key, allowNotFinite = false, ...said } = options;
    if (key !== undefined) {
      throw new UsageError(
        `import: \`key\`: got "${key}" for ${path}, a model file of mamba-prune, which has no keys. Leave it out.`,
      );
    }
    const { model, info } = loadModel(path, { allowNotFinite });
    try {
      checkSaid(path, { ...model.config, ...preprocessingOf(info, model.config.imageSize) }, said);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return { model, info, assumed: [], notes: [] };
  }
  const file = await openWeights(path, kind);
  try {
    return withFileName(path, () => {
      const choice = chooseStateDict(file.dicts, telling, options.key);
      const tensors = file.load(choice.dict, choice.names);
      try {
        const taken = { ...options, key: choice.key === '' ? undefined : choice.key };
        return withNotes([...choice.notes, ...(file.notes ?? [])], () =>
          fromTensors(tensors, taken, basename(path), file.args),
        );
      } finally {
        for (const tensor of tensors.values()) tensor.dispose();
      }
    });
  } finally {
    file.close();
  }
}

/** Says what was left out of a file in the message on what is missing in it, too. */
function withNotes(notes: readonly string[], body: () => ImportedModel): ImportedModel {
  try {
    const imported = body();
    return { ...imported, notes: [...notes, ...imported.notes] };
  } catch (error) {
    if (notes.length === 0 || !(error instanceof FormatError || error instanceof UsageError)) {
      throw error;
    }
    const message = [error.message.replace(/[.]?$/, '.'), ...notes].join(' ');
    throw error instanceof UsageError
      ? new UsageError(message, { cause: error })
      : new FormatError(message, { cause: error });
  }
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
  checkOptions('importStateDict', options, importKinds());
  if (tensors.size === 0) return fromTensors(tensors, options);
  const dict = { key: '', shapes: shapesOf(tensors) };
  const { names, notes } = chooseStateDict([dict], telling, options.key);
  const chosen = new Map(
    Array.from(names).flatMap(([name, stored]) => {
      const tensor = tensors.get(stored);
      return tensor === undefined ? [] : [[name, tensor] as const];
    }),
  );
  return withNotes(notes, () => fromTensors(chosen, options));
}

/** @param given - under the model's own names */
function fromTensors(
  given: ReadonlyMap<string, Tensor>,
  options: ImportOptions,
  file?: string,
  args?: ScriptArguments,
): ImportedModel {
  const { tensors: joined, made, notes: joinNotes } = joinParts(given);
  const { arch, key, dataset, classes, mean, std, allowNotFinite = false, ...others } = options;
  const { interpolation, cropShare, ...sizes } = others;
  try {
    // Tensors that a layout changes go with the scope.
    return scope(() => {
      const read = readModel(joined, { arch, ...sizes }, args);
      checkImported(read.config, read.tensors);
      const model = createModelFromConfig(read.config);
      try {
        const tensors = new Map(read.tensors);
        // Counters that the file does not have.
        for (const name of model.stateDict().keys()) {
          if (!tensors.has(name)) tensors.set(name, zeros([]));
        }
        model.loadStateDict(tensors);
        if (!allowNotFinite) checkFinite(model.stateDict());
        const said = { dataset, classes, mean, std, interpolation, cropShare };
        const { layout } = familyNamed(model.config);
        const data = infoOf(model.config, said, layout?.interpolation);
        const assumed = [...read.assumed, ...data.assumed];
        const notes = [...joinNotes, ...read.notes, ...conversionNotes(joined)];
        const step = { step: 'import', arch: model.config.arch, file, key, assumed, notes };
        const history = [
          Object.fromEntries(Object.entries(step).filter(([, v]) => v !== undefined)),
        ];
        return { model: model.eval(), info: { ...data.info, history }, assumed, notes };
      } catch (error) {
        model.dispose();
        throw error;
      }
    });
  } finally {
    for (const tensor of made) tensor.dispose();
  }
}

/** Models compute in float32, whatever the file has. */
function conversionNotes(tensors: ReadonlyMap<string, Tensor>): string[] {
  const counts = new Map<string, number>();
  for (const { isFloat, dtype } of tensors.values()) {
    if (isFloat && dtype !== 'float32') counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  }
  return Array.from(
    counts,
    ([dtype, count]) =>
      `Converted ${count} ${count === 1 ? 'tensor' : 'tensors'} from ${dtype} to float32.`,
  );
}

/** Before a model is made. @throws FormatError as `checkTensors` */
function checkImported(
  config: Parameters<typeof checkTensors>[0],
  tensors: ReadonlyMap<string, Tensor>,
): void {
  try {
    checkTensors(config, tensors);
  } catch (error) {
    throw error instanceof FormatError
      ? new FormatError(`import: ${error.message}${unexpectedAdvice(error.message)}`)
      : error;
  }
}

/** A tensor too many is not left out: the model that it is of may compute with it. */
const unexpectedAdvice = (problems: string): string =>
  problems.includes(' unexpected: ')
    ? '. If the forward pass does not read what is unexpected, save the file without it. If it does, the model is another one, ' +
      'which a plugin can define (`loadPlugin`, docs/extend.md).'
    : '';

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
