// What the modules of a pickled file compute around the model that is read from it, and between a backbone and the classifier that
// stands beside it. Only those without weights are looked at: what others have is left out as tensors.
import type { PickledModule } from '@mamba-prune/libtorch/files';
import { type PlacedModule, classOf, modulesAround } from './module-place.js';

/** Modules that are no part of the model. */
export interface Surroundings {
  /** Before the model or behind it, or in places that nothing tells. */
  readonly around: readonly PlacedModule[];
  /** Functions behind a backbone and before its classifier: for certain in a Sequential of theirs, elsewhere maybe. */
  readonly between: readonly PlacedModule[];
}

/** What is known of a file. */
export interface Whereabouts {
  /** All modules by their paths. */
  readonly modules: ReadonlyMap<string, PickledModule>;
  /** What the model's names begin with, a point at the end; '' for nothing. */
  readonly root: string;
  /** Path of the layer that classifies; undefined where it is not known. */
  readonly classifier: string | undefined;
  /** Paths of all modules that hold weights, of the model or not. */
  readonly weighty: ReadonlySet<string>;
}

/** Nothing in inference, or what a classifier behind its backbone is given the features by. */
const idle =
  /^(?:Identity|(?:Feature)?(?:Alpha)?Dropout\w*|DropPath|StochasticDepth|Flatten|AdaptiveAvgPool2d|FastAdaptiveAvgPool(?:2d)?|Sequential|Module(?:List|Dict))$/;

/** What makes probabilities of logits, and changes no answer. */
const output = /^(?:(?:Log)?Softmax|(?:Log)?Sigmoid)$/;

const normalisation = /normali[sz]/i;

/** Layers and functions of networks: a script's own class may be anything, and torchvision's transforms prepare images. */
const ofNetworks = /^(?:torch\.nn|timm|transformers)\./;

/** Parts of a training. */
const ofTraining = /^(?:torch\.nn\.modules\.loss|timm\.loss|torchmetrics)\./;

/** @returns all that is not idle, in the order of the file */
export function surroundings(where: Whereabouts): Surroundings {
  const places = new Places(where);
  const around: PlacedModule[] = [];
  const between: PlacedModule[] = [];
  for (const [path, module] of where.modules) {
    if (!places.isLeaf(path) || isIdle(module) || ofTraining.test(module.type)) continue;
    const place = places.of(path, module);
    if (place === undefined) continue;
    // What only makes sense before or behind is taken to run there, and of a script's own class nothing is known.
    const isFunction = ofNetworks.test(module.type) && !output.test(classOf(module));
    const isBetween =
      place === 'between' ||
      (place === 'anywhere' && isFunction && !normalisation.test(classOf(module)));
    (isBetween ? between : around).push({ name: path, at: path, module });
  }
  return { around, between };
}

const isIdle = (module: PickledModule): boolean =>
  idle.test(classOf(module)) ||
  // timm's, of which the mean is one.
  (/^SelectAdaptivePool2d$/.test(classOf(module)) && module.setting('pool_type') === 'avg');

type Place = 'around' | 'between' | 'anywhere';

class Places {
  readonly #modules: ReadonlyMap<string, PickledModule>;
  readonly #order: ReadonlyMap<string, number>;
  readonly #holding: ReadonlySet<string>;
  readonly #weighty: ReadonlySet<string>;
  /** Path of the model. */
  readonly #model: string;
  readonly #root: string;
  readonly #classifier: string | undefined;
  readonly #isApart: boolean;

  constructor({ modules, root, classifier, weighty }: Whereabouts) {
    const paths = [...modules.keys()];
    this.#modules = modules;
    this.#order = new Map(paths.map((path, at) => [path, at]));
    this.#holding = new Set(paths.filter((path) => path !== '').flatMap(modulesAround));
    this.#weighty = weighty;
    this.#root = root;
    this.#model = root.slice(0, -1);
    this.#classifier = classifier;
    this.#isApart = classifier !== undefined && !classifier.startsWith(root);
  }

  isLeaf(path: string): boolean {
    return path !== '' && !this.#holding.has(path);
  }

  /** @returns undefined for a module with weights, one of the model's own, and one of another model in the file */
  of(path: string, module: PickledModule): Place | undefined {
    if (this.#weighty.has(path)) return undefined;
    const isInside = path.startsWith(this.#root);
    const classified =
      this.#classifier === undefined ? undefined : this.#orderOf(path, this.#classifier);
    if (classified === 'behind' && (!isInside || output.test(classOf(module)))) return 'around';
    if (isInside) return undefined;
    const modelled = this.#orderOf(path, this.#model);
    if (modelled === 'before') return 'around';
    if (classified === 'before') return 'between';
    if (modelled === 'behind') return this.#isApart ? 'between' : 'around';
    if (this.#isOfAnother(path)) return undefined;
    return this.#isApart ? 'anywhere' : 'around';
  }

  /** Whether a module lies in something with weights that does not hold the model. */
  #isOfAnother(path: string): boolean {
    const holder = commonHolder(path, this.#model);
    return modulesAround(path).some(
      (each) => each.length > holder.length && this.#weighty.has(each),
    );
  }

  /** Which is run first of two modules, where a Sequential runs both; undefined where none does. */
  #orderOf(path: string, other: string): 'before' | 'behind' | undefined {
    const holder = commonHolder(path, other);
    const areSequential = modulesAround(path).every((each) => {
      const module = this.#modules.get(each);
      return (
        each.length < holder.length || (module !== undefined && classOf(module) === 'Sequential')
      );
    });
    if (!areSequential) return undefined;
    const [own, its] = [path, other].map((each) => this.#order.get(childOf(holder, each)));
    if (own === undefined || its === undefined || own === its) return undefined;
    return own < its ? 'before' : 'behind';
  }
}

/** The child of a module in which a path lies. */
function childOf(holder: string, path: string): string {
  const end = path.indexOf('.', holder === '' ? 0 : holder.length + 1);
  return end < 0 ? path : path.slice(0, end);
}

/** The innermost module that holds both. */
const commonHolder = (path: string, other: string): string =>
  modulesAround(path).findLast((each) => each === '' || other.startsWith(`${each}.`)) ?? '';
