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

/**
 * The attributes and entries of an object, or what it stands for.
 * @returns undefined for what says nothing, and for what OmegaConf has yet to fill in
 */
export function contentOf(object: PythonObject): PickleValue | undefined {
  const [state] = mapsOf(object.state);
  const attributes = wrappers.find(([module]) => module.test(object.global))?.[1];
  if (attributes !== undefined && state !== undefined) {
    return filledIn(attributes.map((name) => state.get(name)).find((held) => held !== undefined));
  }
  const inner = state?.get(innerState);
  const maps = [...(inner instanceof Map ? [inner] : mapsOf(object.state)), object.entries];
  const said = new Map(maps.flatMap((map) => [...map]));
  if (said.size > 0 || state !== undefined) return said;
  if (object.items.length > 0) return object.items;
  return valueOf(object) ?? undefined;
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
