// All state dicts that a checkpoint holds, wherever they are.
import { type PickledModule, isModule, moduleClass, moduleTensors } from './module.js';
import { tensorOf } from './tensor-of.js';
import type { TorchTensor } from './torch-tensor.js';
import { describe } from './unpickler.js';
import { OtherTensor, type PickleValue, PythonObject } from './values.js';

/** A tensor of a checkpoint that cannot be read: of another element type, quantised, sparse, or without values. */
export interface UnreadableTensor {
  /** `a tensor of float8_e4m3fn`. */
  readonly what: string;
  /** What to do, as a sentence. */
  readonly advice: string;
  /** Undefined where the file does not say it. */
  readonly shape: readonly number[] | undefined;
}

/** Tensors by name, at one place of a checkpoint. */
export interface StoredStateDict {
  /** Where it is, with points: `state_dict`, `checkpoint.model`, `0` in a tuple; '' is the file itself. */
  readonly key: string;
  /** In the file's order, under the names that they have there. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Tensors that only placeholders stand for. */
  readonly unreadable: ReadonlyMap<string, UnreadableTensor>;
  /** What lies beside the tensors and is none, with what it is: `the number 3`. */
  readonly others: ReadonlyMap<string, string>;
  /** Of a whole module that was pickled: its class. */
  readonly module?: string;
  /** Of a whole module that was pickled: itself under '', and all in it by their paths, `blocks.0.attn`. */
  readonly modules?: ReadonlyMap<string, PickledModule>;
}

/** A state dict may lie in a wrapper in a wrapper; deeper is something else (or a cycle). */
const maxDepth = 6;
/** Entries that are looked at: a structure may contain the same list again and again. */
const maxEntries = 1_000_000;
/** More than any checkpoint has. */
const maxDicts = 10_000;

/** Where training scripts keep what is no model. */
const noModel =
  /^(?:.*_)?(?:optim|optimi[sz]ers?|opt|lr_?schedulers?|schedulers?|scaler|amp)(?:_.*)?$/i;

/**
 * Every dict with tensors in it and every module, in the order of the file, those with unreadable tensors alone too. State of optimizers is none:
 * what lies under such a key, or beside `param_groups`.
 *
 * @param where - start of messages
 * @throws FormatError if a module contains itself
 */
export function findStateDicts(value: PickleValue, where: string): StoredStateDict[] {
  const found: StoredStateDict[] = [];
  const budget = { left: maxEntries };
  visit(value, [], [], found, budget, where);
  return found;
}

function visit(
  value: PickleValue,
  path: readonly string[],
  above: readonly PickleValue[],
  found: StoredStateDict[],
  budget: { left: number },
  where: string,
): void {
  if (path.length > maxDepth || above.includes(value) || budget.left < 0) return;
  if (found.length >= maxDicts) return;
  const key = path.join('.');
  if (isModule(value)) {
    const parts = moduleTensors(value, where, budget);
    if (hasTensors(parts)) found.push({ key, ...parts, module: moduleClass(value) });
    return;
  }
  const children = childrenOf(value);
  budget.left -= children.length;
  if (budget.left < 0 || children.some(([name]) => name === 'param_groups')) return;
  // A list of tensors has no names: weights are looked for in dicts.
  if (!Array.isArray(value)) {
    const dict = stateDict(key, children);
    if (hasTensors(dict)) found.push(dict);
  }
  for (const [name, child] of children) {
    if (typeof child !== 'object' || child === null || noModel.test(name)) continue;
    if (tensorOf(child) !== undefined || child instanceof OtherTensor) continue;
    visit(child, [...path, name], [...above, value], found, budget, where);
  }
}

const hasTensors = ({ tensors, unreadable }: Omit<StoredStateDict, 'key'>): boolean =>
  tensors.size + unreadable.size > 0;

function stateDict(key: string, children: readonly [string, PickleValue][]): StoredStateDict {
  const tensors = new Map<string, TorchTensor>();
  const unreadable = new Map<string, UnreadableTensor>();
  const others = new Map<string, string>();
  for (const [name, value] of children) {
    const tensor = tensorOf(value);
    if (tensor !== undefined) tensors.set(name, tensor);
    else if (value instanceof OtherTensor) unreadable.set(name, value);
    // What modules keep beside their tensors (get_extra_state): no weights.
    else if (!name.endsWith('_extra_state')) others.set(name, describe(value));
  }
  return { key, tensors, unreadable, others };
}

/** What a value holds under names: entries of dicts, of lists by their index, attributes of objects. */
function childrenOf(value: PickleValue): [string, PickleValue][] {
  if (Array.isArray(value)) return value.map((item, index) => [String(index), item]);
  // The arguments of an object are what a namedtuple holds.
  const maps = value instanceof PythonObject ? [value.entries, value.state] : [value];
  if (value instanceof PythonObject && Array.isArray(value.args)) {
    maps.push(new Map(value.args.map((item, index) => [String(index), item])));
  }
  return maps.flatMap((map) =>
    map instanceof Map
      ? [...map].filter((entry): entry is [string, PickleValue] => typeof entry[0] === 'string')
      : [],
  );
}
