// What a checkpoint says of its model beside the weights, in entries of its own: settings of scripts, names of classes, mean and
// deviation. No format promises any of them; these are the names that scripts give them.
import type { PlainValue, TorchCheckpoint } from '@mamba-prune/libtorch/files';
import type { ScriptArguments } from './layout.js';

/** Dicts of such entries, at the top of a file or in another of them: argparse's, Lightning's and timm's among others. */
const holders = [
  'args',
  'hyper_parameters',
  'hparams',
  'config',
  'cfg',
  'opt',
  'meta',
  'model_args',
  'model_kwargs',
  'model_config',
  '_model_args',
  'pretrained_cfg',
  'default_cfg',
  'data_config',
  'normalize',
  'normalization',
] as const;

/** Dicts that are settings where they lie in one of those, as Hydra's and MMEngine's do; elsewhere such a name is of a state dict. */
const modelHolders = ['model', 'net', 'network', 'backbone', 'encoder'] as const;
const innerHolders = [...holders, ...modelHolders, 'data', 'dataset_meta', 'transforms'] as const;

/** `args.model_kwargs`, `hyper_parameters.cfg.model.backbone`. */
const maxSteps = 4;

/** What a dict of settings of a model calls it. */
const nameOfModel = 'name';

/** What is looked for, by its names in the order in which they are looked for. */
export const wordNames = {
  architecture: [
    'architecture',
    'arch',
    'model_name',
    'model_arch',
    'model',
    'timm_model',
    'backbone_name',
    'backbone',
    'encoder_name',
  ],
  globalPool: ['global_pool', 'gp'],
  activation: ['act_layer'],
  hiddenActivation: ['hidden_act'],
  layerType: ['layer_type'],
  strideFirst: ['downsample_in_bottleneck'],
  normEps: ['layer_norm_eps'],
  heads: ['num_heads', 'num_attention_heads', 'n_heads', 'heads'],
  imageSize: ['img_size', 'image_size', 'imgsz', 'input_size', 'val_crop_size', 'resolution'],
  classes: [
    'classes',
    'class_names',
    'classnames',
    'label_names',
    'labels',
    'categories',
    'CLASSES',
  ],
  classIndices: ['class_to_idx', 'label2id', 'label_to_idx', 'class2idx'],
  indexClasses: ['idx_to_class', 'id2label', 'idx_to_label', 'idx2class'],
  mean: ['mean', 'image_mean', 'pixel_mean', 'norm_mean', 'normalize_mean'],
  std: ['std', 'image_std', 'pixel_std', 'norm_std', 'normalize_std'],
  interpolation: ['interpolation'],
  cropShare: ['crop_pct'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type WordName = keyof typeof wordNames;

/** All names of entries that are looked at. */
export const knownNames: readonly string[] = [...holders, ...Object.values(wordNames).flat()];

/** Something that was said, and where: `args.model`. */
export interface Word<T> {
  readonly value: T;
  readonly at: string;
}

/** Where there are entries: the top of the file, a dict in it, or the attributes of a module. */
export interface Holder {
  /** What comes before their names, a point at the end; '' for nothing. */
  readonly path: string;
  readonly entries: ReadonlyMap<string, PlainValue>;
}

/** The entries of one file. */
export class CheckpointWords {
  readonly #holders: readonly Holder[];

  /**
   * @param top - entries at the top of the file; others than those that are known by name are not looked at
   * @param modules - attributes of modules, which go before
   */
  constructor(top: ReadonlyMap<string, PlainValue>, modules: readonly Holder[] = []) {
    this.#holders = [...modules, { path: '', entries: top }].flatMap((holder) => [
      holder,
      ...held(holder, 1),
    ]);
  }

  /**
   * @param file - none of another program has any
   * @param modules - as for the constructor
   */
  static of(file: TorchCheckpoint, modules?: readonly Holder[]): CheckpointWords {
    const found = knownNames.flatMap((name) => {
      const value = file.plainEntry(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    return new CheckpointWords(new Map(found), modules);
  }

  /**
   * The first entry of such a name that can be what is looked for; those of modules go before those of the file, and those at
   * the top of either before those in dicts.
   * @param parse - undefined for what cannot be it
   */
  find<T>(name: WordName, parse: (value: PlainValue) => T | undefined): Word<T> | undefined {
    for (const { path, entries } of this.#holders) {
      for (const key of namesIn(path, name)) {
        const entry = entries.get(key);
        const value = entry === undefined ? undefined : parse(entry);
        if (value !== undefined) return { value, at: path + key };
      }
    }
    return undefined;
  }

  /** What the script was called with; the name of the model also where it is elsewhere. */
  get scriptArguments(): ScriptArguments {
    const args = this.#holders.find(({ path }) => path === 'args.')?.entries ?? new Map();
    const plain = new Map<string, string | number | boolean>();
    for (const [name, value] of args as Holder['entries']) {
      if (typeof value !== 'object') plain.set(name, value);
    }
    const model = this.find('architecture', fullName)?.value;
    if (model !== undefined && typeof plain.get('model') !== 'string') plain.set('model', model);
    return plain;
  }
}

/** Vim's own names say of each part whether it is there; a short one says nothing of them. */
const fullName = (value: PlainValue): string | undefined =>
  typeof value === 'string' && (!value.startsWith('vim_') || value.includes('patch'))
    ? value
    : undefined;

/** `model.name` is what `model_name` is. */
function namesIn(path: string, name: WordName): readonly string[] {
  const isModel = modelHolders.some((holder) => path.endsWith(`.${holder}.`));
  return name === 'architecture' && isModel ? [...wordNames[name], nameOfModel] : wordNames[name];
}

function held({ path, entries }: Holder, step: number): Holder[] {
  if (step > maxSteps) return [];
  return (step === 1 ? holders : innerHolders).flatMap((name) => {
    const value = entries.get(name);
    if (!(value instanceof Map)) return [];
    const holder = { path: `${path}${name}.`, entries: value as Holder['entries'] };
    return [holder, ...held(holder, step + 1)];
  });
}
