// What objects of Python say as plain data: their attributes, or what a class that libraries wrap settings in holds.
import { type PickleValue, PythonObject } from './values.js';

/** Attributes that hold all that there is to say, by the module of the class. */
const wrappers: readonly (readonly [module: RegExp, attributes: readonly string[]])[] = [
  // Containers and their values. Other attributes lead back to the container around.
  [/^omegaconf\./, ['_content', '_val']],
  [/^ml_collections\./, ['_fields']],
];

/** What pydantic keeps the attributes of its models under. */
const innerState = '__dict__';

/** Dicts of attributes and entries, which may be large and are not copied, or a value in place of the object. */
export type ObjectContent =
  | { readonly maps: readonly ReadonlyMap<PickleValue, PickleValue>[] }
  | { readonly value: PickleValue | undefined };

/**
 * What an object says.
 * @returns no value for what says nothing, and for what OmegaConf has yet to fill in
 */
export function contentOf(object: PythonObject): ObjectContent {
  const maps = mapsOf(object.state);
  const [state] = maps;
  const attributes = wrappers.find(([module]) => module.test(object.global))?.[1];
  if (attributes !== undefined && state !== undefined) {
    const held = attributes.map((name) => state.get(name)).find((value) => value !== undefined);
    return { value: filledIn(held) };
  }
  const inner = state?.get(innerState);
  if (inner instanceof Map) return { maps: [inner] };
  if (state !== undefined || object.entries.size > 0) return { maps: [...maps, object.entries] };
  return { value: object.items.length > 0 ? object.items : (valueOf(object) ?? undefined) };
}

/** The state of an object with slots is a pair, of which the first may be None; that of others may have more parts. */
function mapsOf(state: PickleValue): ReadonlyMap<PickleValue, PickleValue>[] {
  const parts = Array.isArray(state) ? state : [state];
  return parts.flatMap((part) => {
    if (part instanceof Map) return [part];
    return part instanceof PythonObject && part.entries.size > 0 ? [part.entries] : [];
  });
}

/** `???`, and references to other entries. */
const filledIn = (value: PickleValue | undefined): PickleValue | undefined =>
  typeof value === 'string' && /^\?\?\?$|\$\{/.test(value) ? undefined : value;

/** Of a member of an enumeration its value, of a path its text: what the class was called with. */
function valueOf({ global, args }: PythonObject): PickleValue {
  if (!Array.isArray(args) || args.length === 0) return null;
  if (/^pathlib\.(?:\w+\.)?(?:Pure)?PosixPath$/.test(global)) {
    return args.every((part) => typeof part === 'string')
      ? args.join('/').replace(/^\/+/, '/')
      : null;
  }
  const [only] = args;
  return args.length === 1 && (typeof only === 'string' || typeof only === 'number') ? only : null;
}
