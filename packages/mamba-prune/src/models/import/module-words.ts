// What the modules of a whole pickled model say that no tensor tells: heads of attentions, eps of norms, and what libraries keep
// in attributes of the model (`pretrained_cfg` of timm, `config` of transformers). Attributes are data: no code is run.
import type { PickledModule, PlainValue } from '@mamba-prune/libtorch/files';
import { listed } from '../../printable.js';
import type { ClassifierNames } from './classifier-layers.js';
import type { Choice, FoundDict } from './choice.js';
import type { ModelModules } from './layout.js';
import { type Surroundings, surroundings } from './module-around.js';
import { type PlacedModule, classOf, modulesAround } from './module-place.js';
import { cleanName, joined } from './names.js';
import { type Holder, type Word, knownNames, wordNames } from './words.js';

/** Width of a head, as timm and torch and as older versions of transformers call it. */
const headDimNames = ['head_dim', 'attention_head_size'] as const;

/** Modules of the model that know more of it than itself: timm's `patch_embed` has the size of the images. */
const tellingParts = ['patch_embed'] as const;

/** What attentions say of their heads. One of the three is there. */
export interface AttentionWords {
  /** Of every attention. */
  readonly heads?: Word<number>;
  /** Of every head, where heads were removed or made narrower. */
  readonly headDim?: Word<number>;
  /** What each attention multiplies its scores by, in their order; undefined where it does not say, or does not use it. */
  readonly scales: readonly (Word<number> | undefined)[];
  /** Where neither holds for all: `3 heads (blocks.0.attn.num_heads) and 6 heads (blocks.1.attn.num_heads)`. */
  readonly differing?: string;
}

export interface ModuleWords extends ModelModules, Surroundings {
  /** What transformers calls models of this type, `vit`; undefined for modules of others than its own and timm's ViTs. */
  readonly modelType: string | undefined;
  /** Attributes of the model, then of the modules around it. */
  readonly holders: readonly Holder[];
  /** Undefined for a model whose modules name no heads. */
  readonly attention: AttentionWords | undefined;
  /** What each norm adds to the variance. */
  readonly norms: readonly Word<number>[];
  /** As `norms`, of those over a batch of features, which stand beside classifiers. */
  readonly batchNorms: readonly Word<number>[];
  /** The functions between the layers of each MLP: `gelu`, and `gelu approximated by tanh`. */
  readonly activations: readonly Word<string>[];
  /** Modules of the model, and those around it, to which hooks of the forward pass are registered that may compute something. */
  readonly hooked: readonly PlacedModule[];
  /** The module that holds a weight, by the name that it has in the model without what wrappers put before. */
  holderOf(weight: string): PlacedModule | undefined;
}

/**
 * @param called - what the classifier of a model of these names is called, where that is known
 * @returns undefined for what is no pickled module
 */
export function moduleWords(
  { dict, names }: Choice<FoundDict>,
  called?: ClassifierNames,
): ModuleWords | undefined {
  const { modules } = dict;
  if (modules === undefined) return undefined;
  const stored = [...names.values()];
  const root = rootOf(names);
  const inputs = inputWidths(stored, dict.shapes);
  const parts = Array.from(modules, ([path, module]) => ({
    path,
    at: joined(dict.key, path),
    module,
  }));
  const outer = new Set(parts.flatMap(({ path }) => modulesAround(path)));
  const own = parts.filter(({ path }) => inputs.has(path) && isInside(path, root));
  const found = surroundings({
    modules,
    root,
    classifier: classifierOf(names, dict.shapes, called),
    weighty: new Set([...dict.shapes.keys()].flatMap(modulesAround)),
  });
  const outerModules = new Set([...modulesAround(root), root.slice(0, -1)]);
  const aside = new Set(found.around.map(({ name }) => name));
  const placed = (others: readonly PlacedModule[]): PlacedModule[] =>
    others.map((other) => ({ ...other, at: joined(dict.key, other.name) }));
  const around = [...tellingParts.map((part) => root + part), ...modulesAround(root).reverse()];
  return {
    modelType: parts.flatMap(({ module }) => modelType(module)).at(0),
    holders: around.flatMap((path) => {
      const module = modules.get(path);
      return module === undefined ? [] : [holderOf(module, joined(dict.key, path))];
    }),
    attention: attentionWords(own, inputs),
    norms: own.filter(({ module }) => !isOfFeatures(module)).flatMap(epsWord),
    batchNorms: parts
      .filter(({ path, module }) => inputs.has(path) && isOfFeatures(module))
      .flatMap(epsWord),
    activations: parts.filter(({ path }) => isInside(path, root)).flatMap(activationWord),
    functions: parts.flatMap(({ path, at, module }) =>
      isInside(path, root) && !inputs.has(path) && !outer.has(path) && !aside.has(path)
        ? [{ name: cleanName(path.slice(root.length)), at, module }]
        : [],
    ),
    parts: [...parts.filter(({ path }) => path === root.slice(0, -1)), ...own].map(
      ({ path, at, module }) => ({ name: cleanName(path.slice(root.length)), at, module }),
    ),
    hooked: parts.flatMap(({ path, at, module }) =>
      (isInside(path, root) || outerModules.has(path)) && hooksOf(module).length > 0
        ? [{ name: path, at, module }]
        : [],
    ),
    around: placed(found.around),
    between: placed(found.between),
    holderOf(weight) {
      const path = (names.get(weight) ?? root + weight).replace(/\.?[^.]*$/, '');
      const module = modules.get(path);
      return (
        module && { name: weight.replace(/\.?[^.]*$/, ''), at: joined(dict.key, path), module }
      );
    },
  };
}

const isOfFeatures = (module: PickledModule): boolean => classOf(module) === 'BatchNorm1d';

function epsWord({ at, module }: Part): Word<number>[] {
  const eps = /norm/i.test(classOf(module)) ? module.setting('eps') : undefined;
  return typeof eps === 'number' ? [{ value: eps, at: joined(at, 'eps') }] : [];
}

/** Those of PyTorch that make a weight of its parts do nothing else, and the parts are read. */
export const hooksOf = ({ hooks }: PickledModule): readonly string[] =>
  hooks.filter((hook) => !hook.startsWith('torch.nn.utils.'));

/** A VisionTransformer of timm, whatever a script calls its own class of it, says what it pools and which tokens it does not pool. */
function modelType(module: PickledModule): string[] {
  const isVit = ['global_pool', 'num_prefix_tokens'].every(
    (name) => module.setting(name) !== undefined,
  );
  return isVit ? ['vit'] : (/^transformers\.models\.(\w+)\./.exec(module.type)?.slice(1) ?? []);
}

interface Part {
  /** In the pickled module. */
  readonly path: string;
  /** In the file. */
  readonly at: string;
  readonly module: PickledModule;
}

/** What the file has before the model's own names, a point at the end; '' for nothing. */
function rootOf(names: ReadonlyMap<string, string>): string {
  for (const [name, stored] of names) {
    const root = stored.slice(0, stored.length - name.length);
    if (stored.endsWith(name) && /^$|\.$/.test(root)) return root;
  }
  return '';
}

const isInside = (path: string, root: string): boolean =>
  path.startsWith(root) && path !== root.slice(0, -1);

/** The path of the layer that classifies, as the file has it. */
function classifierOf(
  names: ReadonlyMap<string, string>,
  shapes: FoundDict['shapes'],
  called: ClassifierNames | undefined,
): string | undefined {
  if (called === undefined) return undefined;
  const weights = [...names].filter(
    ([name, stored]) =>
      name.endsWith('.weight') &&
      (called.own.test(name) || name.startsWith(`${called.name}.`)) &&
      shapes.get(stored)?.length === 2,
  );
  return weights[0]?.[1].slice(0, -'.weight'.length);
}

/** By the module that weights of the model lie in: the inputs of the first matrix in it. */
function inputWidths(
  stored: readonly string[],
  shapes: FoundDict['shapes'],
): Map<string, number | undefined> {
  const widths = new Map<string, number | undefined>();
  for (const name of stored) {
    const shape = shapes.get(name) ?? [];
    for (const path of modulesAround(name)) {
      widths.set(path, widths.get(path) ?? (shape.length === 2 ? shape[1] : undefined));
    }
  }
  return widths;
}

function holderOf(module: PickledModule, at: string): Holder {
  const entries = knownNames.flatMap((name): [string, PlainValue][] => {
    const value = module.attribute(name);
    return value === undefined ? [] : [[name, value]];
  });
  return { path: at === '' ? '' : `${at}.`, entries: new Map(entries) };
}

function attentionWords(
  parts: readonly Part[],
  inputs: ReadonlyMap<string, number | undefined>,
): AttentionWords | undefined {
  const counted = parts.flatMap((part) => {
    const heads = setting(part, wordNames.heads);
    return heads === undefined ? [] : [{ ...part, heads, headDim: setting(part, headDimNames) }];
  });
  // A block may name the heads of the attention in it.
  const outer = new Set(counted.flatMap(({ path }) => modulesAround(path)));
  const attentions = counted.filter(({ path }) => !outer.has(path));
  const [first] = attentions;
  if (first === undefined) return undefined;
  const { heads, headDim } = first;
  const sameHeads = attentions.every((other) => other.heads.value === heads.value);
  const sameWidth = attentions.every((other) => other.headDim?.value === headDim?.value);
  const isWhole = attentions.every(
    ({ path, ...own }) =>
      own.headDim === undefined || own.heads.value * own.headDim.value === inputs.get(path),
  );
  const scales = attentions.map(scaleWord);
  if (sameHeads && (isWhole || !sameWidth)) return { heads, scales };
  if (sameWidth && headDim !== undefined) return { headDim, scales };
  const counts = new Map(attentions.map((other) => [other.heads.value, other.heads.at]));
  return {
    scales,
    differing: listed(Array.from(counts, ([count, at]) => `${count} heads (${at})`)),
  };
}

/** transformers uses `scaling` always, and timm `scale` where PyTorch does not compute the attention as one function. */
function scaleWord({ at, module }: Part): Word<number> | undefined {
  const isFused = module.setting('fused_attn') === true;
  for (const name of ['scaling', ...(isFused ? [] : ['scale'])]) {
    const value = module.setting(name);
    if (typeof value === 'number' && value > 0) return { value, at: joined(at, name) };
  }
  return undefined;
}

/** Modules of an MLP that are no layers with weights, in the names of all libraries that are read. */
const betweenLayers = /(?:^|\.)(?:mlp|intermediate)\.[^.]+$/;

function activationWord({ path, at, module }: Part): Word<string>[] {
  const name = classOf(module).replace(/Activation$/, '');
  if (!betweenLayers.test(path) || !/(?:elu|silu|swish|mish|tanh|sigmoid)$/i.test(name)) return [];
  const approximate = module.setting('approximate') ?? 'none';
  const how = approximate === 'none' ? '' : ` approximated by ${String(approximate)}`;
  return [{ value: name.toLowerCase() + how, at }];
}

/** The first of these that is a number of things. */
function setting({ at, module }: Part, names: readonly string[]): Word<number> | undefined {
  for (const name of names) {
    const value = module.setting(name);
    if (typeof value === 'number' && Number.isInteger(value) && value > 0) {
      return { value, at: joined(at, name) };
    }
  }
  return undefined;
}
