// The tensors of a pickled torch.nn.Module, as its state_dict() would list them. No code of its class is run.
import { FormatError } from '../errors.js';
import { type PlainValue, plainValue } from './plain.js';
import { tensorOf } from './tensor-of.js';
import type { TorchTensor } from './torch-tensor.js';
import { describe } from './unpickler.js';
import { OtherTensor, type PickleValue, PythonGlobal, PythonObject } from './values.js';

/** Modules in modules; real ones have about ten levels. */
const maxDepth = 200;

/** A module of a pickled one, for what its attributes say that no tensor tells: the number of heads, the eps of a norm. */
export interface PickledModule {
  /** Its class: `torch.nn.modules.normalization.LayerNorm`. */
  readonly type: string;
  /** An attribute that is a number, a text or a truth value. */
  setting(name: string): boolean | number | string | undefined;
  /**
   * Any attribute, as `TorchCheckpoint.plainEntry` gives entries: a dict, the attributes of an object, or a small buffer.
   * @throws FormatError if the bytes of a small tensor are damaged
   */
  attribute(name: string): PlainValue | undefined;
  /** What was registered to run before or behind it in the forward pass, by its name: `nets.keep`, or a class. */
  readonly hooks: readonly string[];
}

/** What was found under one module. */
export interface ModuleTensors {
  /** Itself under '', and all in it by their paths, `blocks.0.attn`. */
  readonly modules: Map<string, PickledModule>;
  readonly tensors: Map<string, TorchTensor>;
  readonly unreadable: Map<string, OtherTensor>;
  /** Parameters and buffers that are no tensors, with what they are. */
  readonly others: Map<string, string>;
}

/** What torch.fx gives a GraphModule to pickle in its own place: a call with its attributes and the code of its forward pass. */
const reducedGraph = 'torch.fx.graph_module.reduce_graph_module';
const graphModule = 'torch.fx.graph_module.GraphModule';

/** Its attributes; undefined for what has none. */
function attributesOf({ global, args, state }: PythonObject): PickleValue | undefined {
  if (state instanceof Map) return state;
  return global === reducedGraph && Array.isArray(args) ? args[0] : undefined;
}

/** Whether an object has what every torch.nn.Module has. */
export function isModule(value: PickleValue): value is PythonObject {
  if (!(value instanceof PythonObject)) return false;
  const attributes = attributesOf(value);
  if (!(attributes instanceof Map)) return false;
  return attributes.get('_parameters') instanceof Map && attributes.get('_modules') instanceof Map;
}

/** The class of a module: `torch.nn.modules.container.Sequential`. */
export const moduleClass = ({ global }: PythonObject): string =>
  global === reducedGraph ? graphModule : global;

/**
 * Parameters and buffers by their names, as `torch.nn.Module.state_dict`: buffers that the module does not
 * keep there (`register_buffer(..., persistent=False)`) are left out.
 *
 * @param where - start of messages
 * @param budget - names that may be looked at, counted down: a module that holds another one twice, which
 *   holds a third one twice, ... has any number of them
 * @throws FormatError if a module contains itself, or if the budget is spent
 */
export function moduleTensors(
  module: PythonObject,
  where: string,
  budget: { left: number },
): ModuleTensors {
  const result: ModuleTensors = {
    modules: new Map(),
    tensors: new Map(),
    unreadable: new Map(),
    others: new Map(),
  };
  collect(module, '', [], result, budget, where);
  return result;
}

function collect(
  module: PythonObject,
  prefix: string,
  above: readonly PythonObject[],
  result: ModuleTensors,
  budget: { left: number },
  where: string,
): void {
  const fail = (problem: string): never => {
    throw new FormatError(
      `${where}: got a pickled module ${problem}. The file is damaged or hostile.`,
    );
  };
  if (above.includes(module)) fail(`that contains itself, at "${prefix}"`);
  if (above.length >= maxDepth) fail(`of more than ${maxDepth} levels`);
  const count = (): void => {
    budget.left -= 1;
    if (budget.left < 0) fail('of far too many names');
  };
  result.modules.set(prefix.slice(0, -1), pickledModule(module));
  const leftOut = items(member(module, '_non_persistent_buffers_set'));
  for (const [name, value] of [
    ...entries(member(module, '_parameters')),
    ...entries(member(module, '_buffers')).filter(([name]) => !leftOut.has(name)),
  ]) {
    count();
    if (value === null) continue; // registered, and not there: a layer without bias
    const tensor = tensorOf(value);
    if (tensor !== undefined) result.tensors.set(prefix + name, tensor);
    else if (value instanceof OtherTensor) result.unreadable.set(prefix + name, value);
    else result.others.set(prefix + name, describe(value));
  }
  for (const [name, child] of entries(member(module, '_modules'))) {
    count();
    if (isModule(child)) {
      collect(child, `${prefix}${name}.`, [...above, module], result, budget, where);
    }
  }
}

const pickledModule = (module: PythonObject): PickledModule => ({
  type: moduleClass(module),
  setting: (name) => {
    const value = member(module, name);
    return typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string'
      ? value
      : undefined;
  },
  attribute: (name) => plainValue(member(module, name) ?? bufferOf(module, name) ?? undefined),
  // Not a copy for each of many modules.
  get hooks() {
    return ['_forward_pre_hooks', '_forward_hooks'].flatMap((name) =>
      entriesOf(member(module, name)).map(hookName),
    );
  },
});

/** Hooks beyond these are counted by nobody. */
const maxHooks = 100;

/** Their keys are numbers. */
const entriesOf = (hooks: PickleValue): PickleValue[] =>
  hooks instanceof Map ? Array.from(hooks.values()).slice(0, maxHooks) : [];

/** A method is pickled as the getattr of its object. */
function hookName(hook: PickleValue): string {
  if (hook instanceof PythonGlobal) return hook.name;
  if (!(hook instanceof PythonObject)) return describe(hook);
  const [object, name] = Array.isArray(hook.args) ? hook.args : [];
  const isMethod = /(?:^|\.)getattr$/.test(hook.global);
  return isMethod && object instanceof PythonObject && typeof name === 'string'
    ? `${object.global}.${name}`
    : hook.global;
}

function member(module: PythonObject, name: string): PickleValue {
  const attributes = attributesOf(module);
  return attributes instanceof Map ? (attributes.get(name) ?? null) : null;
}

/** Also one that the module does not keep in its state dict. */
function bufferOf(module: PythonObject, name: string): PickleValue {
  const buffers = member(module, '_buffers');
  return buffers instanceof Map ? (buffers.get(name) ?? null) : null;
}

function entries(value: PickleValue): [string, PickleValue][] {
  if (!(value instanceof Map)) return [];
  return [...value].filter((entry): entry is [string, PickleValue] => typeof entry[0] === 'string');
}

/** PyTorch has a set; of what is none no copy is made for each of many modules. */
const items = (value: PickleValue): ReadonlySet<PickleValue> =>
  value instanceof Set ? value : new Set();
