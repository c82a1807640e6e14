// Native memory is freed when its scope ends, not when the garbage collector gets to it: a training
// step makes gigabytes of tensors that V8 sees as a few hundred small objects.
import { refusePromise } from './synchronous.js';
import type { Tensor } from './tensor.js';

let current: Set<Tensor> | null = null;

/** Called for every tensor made. */
export function register(tensor: Tensor): void {
  current?.add(tensor);
}

/** Called when a tensor leaves its scope: disposed, or kept. */
export function unregister(tensor: Tensor): void {
  current?.delete(tensor);
}

function collect(value: unknown, found: Set<unknown>, isTensor: (v: unknown) => boolean): void {
  if (value === null || typeof value !== 'object' || found.has(value)) return;
  if (isTensor(value)) {
    found.add(value);
    return;
  }
  if (ArrayBuffer.isView(value)) return;
  const prototype: unknown = Object.getPrototypeOf(value);
  let children: Iterable<unknown> | undefined;
  if (Array.isArray(value) || value instanceof Set) children = value as Iterable<unknown>;
  else if (value instanceof Map) children = value.values();
  else if (prototype === Object.prototype || prototype === null) children = Object.values(value);
  if (children === undefined) return;
  found.add(value);
  for (const child of children) collect(child, found, isTensor);
}

/**
 * Runs `body` and frees every tensor made inside it, except those it returns (itself, or inside
 * arrays, maps, sets and plain objects) and those marked with `keep()`. Scopes nest; what an inner
 * scope returns belongs to the outer one.
 *
 * The body must not be asynchronous: between its steps other code would run in its scope.
 *
 * @throws TypeError if the body returns a promise; everything made is freed then too
 */
export function scope<T>(body: () => T): T {
  const outer = current;
  const inner = new Set<Tensor>();
  current = inner;
  let kept: Set<unknown> | undefined;
  try {
    const result = body();
    refusePromise('scope', result);
    kept = new Set();
    collect(result, kept, (value) => inner.has(value as Tensor));
    return result;
  } finally {
    current = outer;
    for (const tensor of inner) {
      if (kept?.has(tensor)) outer?.add(tensor);
      else tensor.dispose();
    }
  }
}
