// Names of tensors as files have them: what wrappers put before them, and what beside a model is none of it.

/** What DataParallel, torch.compile and wrapper classes put before every name. */
const wrappers = ['module.', '_orig_mod.', 'model.'];

/** Modules in modules before a model's own names; real files have two or three. */
const maxDepth = 6;

/** What torch.compile, FSDP and activation checkpoints put before the names of the module that they wrap, at any depth. */
const innerWrappers = /(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+/g;

/** A name without the steps of wrappers that no model has: `layer1._orig_mod.0.bn1.bias`. */
export const cleanName = (name: string): string => name.replace(innerWrappers, '$1');

/**
 * Removes what wrappers put before every name.
 * @returns the same tensors under the model's own names
 */
export function stripPrefixes<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  let result = new Map(tensors);
  for (;;) {
    const names = [...result.keys()];
    const prefix = wrappers.find((p) => names.every((name) => name.startsWith(p)));
    if (prefix === undefined || names.length === 0) return result;
    result = new Map(Array.from(result, ([name, value]) => [name.slice(prefix.length), value]));
  }
}

/** The names of a module in a module in a module, of which some may be empty. */
export const joined = (...steps: string[]): string => steps.filter((step) => step !== '').join('.');

/** A prefix as a key, without its last point and without the steps of wrappers. */
export function withoutWrappers(prefix: string): string {
  const steps = prefix.split('.').filter((step) => step !== '' && !wrappers.includes(`${step}.`));
  return steps.join('.');
}

/**
 * Everything that shares a prefix, under the names that are left without it.
 * @returns by prefix, `''` and `backbone.` and `backbone.layer1.` ..., in the order of the names
 */
export function prefixGroups<T>(tensors: ReadonlyMap<string, T>): Map<string, Map<string, T>> {
  const groups = new Map<string, Map<string, T>>([['', new Map(tensors)]]);
  for (const [name, value] of tensors) {
    let at = name.indexOf('.');
    for (let depth = 0; at >= 0 && depth < maxDepth; depth++, at = name.indexOf('.', at + 1)) {
      const prefix = name.slice(0, at + 1);
      const group = groups.get(prefix) ?? new Map<string, T>();
      group.set(name.slice(at + 1), value);
      groups.set(prefix, group);
    }
  }
  return groups;
}

/** Counters of thop, parts of losses and metrics that Lightning modules keep, weights of classes. */
const noWeights =
  /(?:^|\.)total_(?:ops|params)$|^(?:loss\w*|\w*_loss|criterion\w*|metrics?|\w*_metrics?)\.|^(?:class|pos|loss)_weights?$/i;

/**
 * Whether a tensor is known to be none of a model's: a counter, a part of a loss, or one number under a name
 * without points (`n_averaged`, `epoch`), which no model has.
 */
export function isNoWeight(name: string, shape: readonly number[]): boolean {
  const isNumber = !name.includes('.') && shape.length < 2 && (shape[0] ?? 1) === 1;
  return isNumber || noWeights.test(name);
}
