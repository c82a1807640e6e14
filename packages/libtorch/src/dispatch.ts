// Calls of operators by name. The generated functions and everything that needs an operator without
// one (our own kernels, say) go through here.
import { AddonError, DisposedError, TorchError } from './errors.js';
import { type Handle, native } from './native.js';
import { Tensor } from './tensor.js';

/** An operator, looked up in libtorch at its first call. */
export interface Operator {
  readonly name: string;
  readonly overload: string;
  id: number;
}

export function operator(name: string, overload = ''): Operator {
  return { name, overload, id: -1 };
}

/** Calls an operator with raw values: handles for tensors. Returns raw values. */
export function invoke(op: Operator, args: readonly unknown[]): unknown {
  try {
    if (op.id < 0) op.id = native.resolve(op.name, op.overload);
    return native.call(op.id, args);
  } catch (error) {
    if (error instanceof AddonError) throw error; // the first operator of all loads the addon
    const { message } = error as Error;
    throw message.includes('a disposed tensor')
      ? new DisposedError(message)
      : new TorchError(op.overload ? `${op.name}.${op.overload}` : op.name, message);
  }
}

export function handles(tensors: readonly Tensor[]): Handle[] {
  return tensors.map((tensor) => tensor.handle);
}

export function optionalHandles(tensors: readonly (Tensor | null)[]): (Handle | null)[] {
  return tensors.map((tensor) => tensor?.handle ?? null);
}

/** Wraps an array of handles; an undefined tensor, which only gradients have, is an error. */
export function wrapAll(value: unknown): Tensor[] {
  return (value as Handle[]).map((handle) => Tensor.wrap(handle));
}

export function asNumber(value: unknown): number {
  return value as number;
}

export function asBoolean(value: unknown): boolean {
  return value as boolean;
}

type RawArgument =
  Tensor | number | bigint | boolean | string | null | undefined | readonly RawArgument[];

function unwrap(value: RawArgument): unknown {
  if (value instanceof Tensor) return value.handle;
  if (Array.isArray(value)) return (value as readonly RawArgument[]).map(unwrap);
  return value;
}

const cache = new Map<string, Operator>();

/**
 * Any operator of libtorch, by its schema's name: `callOperator('aten::add.Tensor', a, b)`.
 *
 * Arguments come in the schema's order; `undefined` stands for the default. The caller says what the
 * schema returns: nothing is checked here.
 *
 * @returns tensors as `Tensor`, lists as arrays, numbers as numbers; `undefined` for in-place operators
 * @throws TorchError with the operator's name and the shapes given
 */
export function callOperator(name: string, ...args: RawArgument[]): unknown {
  let op = cache.get(name);
  if (!op) {
    const [base = '', overload = ''] = name.split('.');
    op = operator(base, overload);
    cache.set(name, op);
  }
  const result = invoke(op, args.map(unwrap));
  return wrapUnknown(result);
}

const known = new Map<string, boolean>();

/** Whether the libtorch in use has an operator: `hasOperator('aten::_fused_adamw_')`. */
export function hasOperator(name: string): boolean {
  let has = known.get(name);
  if (has === undefined) {
    const [base = '', overload = ''] = name.split('.');
    try {
      native.resolve(base, overload);
      has = true;
    } catch (error) {
      if (error instanceof AddonError) throw error;
      has = false;
    }
    known.set(name, has);
  }
  return has;
}

/** Tensors and plain numbers both arrive as numbers; a handle carries a tag no other number has. */
function wrapUnknown(value: unknown): unknown {
  if (typeof value === 'number') return Tensor.isHandle(value) ? Tensor.wrap(value) : value;
  if (Array.isArray(value)) return value.map(wrapUnknown);
  return value;
}
