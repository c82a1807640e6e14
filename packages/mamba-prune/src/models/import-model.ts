// Models from files of other programs: timm's and torchvision's checkpoints, training scripts' own.
import { closeSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import {
  FormatError,
  SafetensorsFile,
  type Tensor,
  loadSafetensors,
  loadTorchSave,
  openRegularFile,
  scope,
  zeros,
} from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import {
  type Interpolation,
  type Preprocessing,
  defaultPreprocessing,
  preprocessingOf,
  preprocessingProblem,
} from '../preparation/preprocessing.js';
import { type OptionKinds, checkOptions, requirePath } from '../option-checks.js';
import { listed } from './config-checks.js';
import { checkTensors, rangeProblems, withFileName } from './file-checks.js';
import { checkFinite } from './finite.js';
import type { ModelOptions } from './config.js';
import type { ImageModel, ModelConfigBase } from './image-model.js';
import {
  type LayoutOptions,
  type Shapes,
  configFromShapes,
  stripPrefixes,
} from './import-layout.js';
import { type ModelInfo, loadModel, metadataKey } from './model-file.js';
import { createModelFromConfig } from './registry.js';

export interface ImportOptions extends LayoutOptions {
  /** torch.save files: where the state dict is, with points; found in the usual places unless given. */
  readonly key?: string | undefined;
  /** What the model was trained on. */
  readonly dataset?: string | undefined;
  /** Names of the classes, in the order of the logits; unknown unless given. */
  readonly classes?: readonly string[] | undefined;
  /** Per channel, of pixel values scaled to [0, 1]; ImageNet's for colour images unless given. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  /** How images are resized; bilinear unless given. */
  readonly interpolation?: Interpolation | undefined;
  /**
   * Share of the shorter side that the crop leaves, timm's crop_pct; 0.875 unless given, 1 for data sets whose
   * pictures have the model's size.
   */
  readonly cropShare?: number | undefined;
  /** As for `loadModel`. */
  readonly allowNotFinite?: boolean | undefined;
}

/** The sizes are looked at where their ranges are known. */
const importKinds: OptionKinds<ImportOptions & ModelOptions> = {
  key: 'string',
  dataset: 'string',
  classes: 'array',
  mean: 'array',
  std: 'array',
  interpolation: 'any',
  cropShare: 'any',
  allowNotFinite: 'boolean',
  arch: 'string',
  numClasses: 'any',
  imageSize: 'any',
  channels: 'any',
  patchSize: 'any',
  scan: 'any',
  dropPath: 'any',
  dModel: 'any',
  depth: 'any',
  dState: 'any',
  dConv: 'any',
  heads: 'any',
  stem: 'any',
  baseWidth: 'any',
  blocks: 'any',
  // Read off the file; who says so hears it there.
  expand: 'any',
  mlpRatio: 'any',
};

export interface ImportedModel {
  /** In evaluation mode; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  /** What the file does not tell and nobody said, with the value taken, such as `imageSize 224`. */
  readonly assumed: readonly string[];
}

/**
 * Reads a model from a file, whoever wrote it:
 *
 * - a model file of ours, which describes itself;
 * - a state dict in timm's, torchvision's or the PyTorch vision Mamba's layout, as safetensors or
 *   written by `torch.save` (plain, or inside `state_dict`, `model`, `model_state_dict` ...), dense or
 *   with channels cut out. Nothing pickled in the file is run.
 *
 * The architecture is found from the shapes where they make it certain; sizes, widths and classes
 * always come from them.
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
  checkOptions('importModel', options, importKinds);
  const kind = kindOf(path);
  if (kind === 'model') {
    const { allowNotFinite = false, ...said } = options;
    const { model, info } = loadModel(path, { allowNotFinite });
    try {
      checkSaid(path, { ...model.config, ...preprocessingOf(info, model.config.imageSize) }, said);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return { model, info, assumed: [] };
  }
  if (kind === 'safetensors' && options.key !== undefined) {
    throw new UsageError(
      `import: got the key '${options.key}' for ${path}, a safetensors file, which has no keys. Leave it out.`,
    );
  }
  const tensors =
    kind === 'safetensors'
      ? loadSafetensors(path).tensors
      : await loadTorchSave(path, {
          // Checkpoints hold the script's own objects too; only tensors are taken, and nothing is run.
          onUnknownGlobal: 'placeholder',
          ...(options.key !== undefined && { key: options.key }),
        });
  try {
    return withFileName(path, () => fromTensors(tensors, options, basename(path)));
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
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
  checkOptions('importStateDict', options, importKinds);
  return fromTensors(tensors, options);
}

function fromTensors(
  given: ReadonlyMap<string, Tensor>,
  options: ImportOptions,
  file?: string,
): ImportedModel {
  const tensors = stripPrefixes(given);
  const { arch, key, dataset, classes, mean, std, allowNotFinite = false, ...others } = options;
  const { interpolation, cropShare, ...sizes } = others;
  const shapes = shapesOf(tensors);
  const { config, assumed } = configFromShapes(shapes, { arch, ...sizes });
  checkImported(config, tensors);
  const model = createModelFromConfig(config);
  try {
    scope(() => {
      // Counters that the file does not have.
      for (const name of model.stateDict().keys()) {
        if (!tensors.has(name)) tensors.set(name, zeros([]));
      }
      model.loadStateDict(tensors);
    });
    if (!allowNotFinite) checkFinite(model.stateDict());
    const said = { dataset, classes, mean, std, interpolation, cropShare };
    const data = infoOf(model.config, said);
    const allAssumed = [...assumed, ...data.assumed];
    const step = { step: 'import', arch: model.config.arch, file, key, assumed: allAssumed };
    const history = [Object.fromEntries(Object.entries(step).filter(([, v]) => v !== undefined))];
    return { model: model.eval(), info: { ...data.info, history }, assumed: allAssumed };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** Before a model is made. @throws FormatError as `checkTensors` */
function checkImported(
  config: Parameters<typeof checkTensors>[0],
  tensors: ReadonlyMap<string, Tensor>,
): void {
  try {
    checkTensors(config, tensors);
  } catch (error) {
    throw error instanceof FormatError ? new FormatError(`import: ${error.message}`) : error;
  }
}

const shapesOf = (tensors: ReadonlyMap<string, Tensor>): Shapes =>
  new Map(Array.from(tensors, ([name, { shape }]) => [name, shape]));

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

function infoOf(
  { channels, numClasses }: ModelConfigBase,
  said: Pick<ImportOptions, 'dataset' | 'classes' | 'mean' | 'std' | 'interpolation' | 'cropShare'>,
): { info: Omit<ModelInfo, 'history'>; assumed: string[] } {
  const { dataset, classes = [] } = said;
  const lengths = [
    ['classes', said.classes, numClasses],
    ['mean', said.mean, channels],
    ['std', said.std, channels],
  ] as const;
  for (const [name, list, expected] of lengths) {
    if (list && list.length !== expected) {
      throw new UsageError(
        `import: got ${list.length} values for ${name}, expected ${expected}, as many as the model has ` +
          (name === 'classes' ? 'classes' : 'channels'),
      );
    }
  }
  const problem = preprocessingProblem(said) ?? rangeProblems(said.mean ?? [], said.std ?? [])[0];
  if (problem !== undefined) throw new UsageError(`import: ${problem}`);
  const usual = channels === 3 ? imagenet : { mean: [0.5], std: [0.5] };
  const of = (name: 'mean' | 'std'): number[] =>
    Array.from({ length: channels }, (_, i) => (said[name] ?? usual[name])[i] ?? 0.5);
  const usualWay = defaultPreprocessing(dataset);
  const preprocessing: Preprocessing = {
    interpolation: said.interpolation ?? usualWay.interpolation,
    cropShare: said.cropShare ?? usualWay.cropShare,
  };
  return {
    info: {
      ...(dataset !== undefined && { dataset }),
      classes: [...classes],
      mean: of('mean'),
      std: of('std'),
      preprocessing,
    },
    assumed: [
      ...(['mean', 'std'] as const)
        .filter((name) => said[name] === undefined)
        .map((name) => `${name} ${of(name).join('/')}`),
      ...(['interpolation', 'cropShare'] as const)
        .filter((name) => said[name] === undefined)
        .map((name) => `${name} ${preprocessing[name]}`),
    ],
  };
}

/** What a file is, from its first bytes: extensions are not to be relied on (.bin, .pt, .pth.tar ...). */
function kindOf(path: string): 'model' | 'safetensors' | 'torch-save' {
  const head = firstBytes(path);
  // A zip archive, or a pickle as PyTorch before 1.6 wrote it, which the reader refuses with advice.
  if (head.toString('latin1') === 'PK' || head[0] === 0x80) return 'torch-save';
  const opened = SafetensorsFile.open(path);
  try {
    return Object.hasOwn(opened.metadata, metadataKey) ? 'model' : 'safetensors';
  } finally {
    opened.close();
  }
}

function firstBytes(path: string): Buffer {
  const head = Buffer.alloc(2);
  try {
    const { fd } = openRegularFile(path, path);
    try {
      readSync(fd, head, 0, 2, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new UsageError(
      `import: got ${path}, which cannot be read (${(error as Error).message}), ` +
        'expected a .safetensors file or one of torch.save.',
    );
  }
  return head;
}

/** @throws UsageError naming every option that a model of ours contradicts */
function checkSaid(path: string, config: ModelConfigBase, options: ImportOptions): void {
  const has: Readonly<Record<string, unknown>> = { ...config };
  const wrong = Object.entries(options)
    .filter(([name, value]) => value !== undefined && has[name] !== undefined)
    .map(([name, value]) => [name, JSON.stringify(has[name]), JSON.stringify(value)] as const)
    .filter(([, there, said]) => there !== said);
  if (wrong.length === 0) return;
  const list = wrong.map(([name, there, said]) => `${name} ${there}, asked for ${said}`);
  throw new UsageError(
    `${path}: got a model of ${listed(list)}. Leave these options out: the file describes itself.`,
  );
}
