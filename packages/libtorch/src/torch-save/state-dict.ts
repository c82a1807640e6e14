/** Finding the model's weights in a checkpoint. */
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { TorchTensor } from './torch-tensor.js';
import { describe } from './unpickler.js';
import type { PickleValue } from './values.js';

/** Where training scripts put the weights, most specific first. */
const USUAL_KEYS = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'module',
  'weights',
  'params',
];

/** What DataParallel and torch.compile put in front of every name. */
const WRAPPER_PREFIXES = ['module.', '_orig_mod.'];

/** A state dict may lie in a wrapper in a wrapper; deeper is something else (or a cycle). */
const MAX_DEPTH = 4;

type Dict = Map<PickleValue, PickleValue>;

/**
 * The model's weights by their PyTorch names, whatever the checkpoint wraps around them: a plain state
 * dict, `{state_dict: ...}`, `{model: ...}` and the like, or the only dict of tensors there is. The
 * prefixes `module.` (DataParallel) and `_orig_mod.` (torch.compile) are removed if all names have them.
 *
 * @param value - what readTorchSaveFile gave
 * @param options.key - where the weights are, if that is not clear: `ema`, or `models.teacher`
 * @throws FormatError if there are none or several candidates; the message lists the keys to choose from
 */
export function collectStateDict(
  value: PickleValue,
  options: { readonly key?: string } = {},
): Map<string, TorchTensor> {
  const dict = options.key === undefined ? find(value, 0) : followKey(value, options.key);
  if (dict === undefined) {
    throw new FormatError(
      `collectStateDict: found no dict of tensors in ${outline(value)}. ` +
        'Name the place of the weights with the option key.',
    );
  }
  const tensors = new Map<string, TorchTensor>();
  for (const [name, tensor] of dict) {
    if (isExtra(name, tensor)) continue;
    if (typeof name !== 'string' || !(tensor instanceof TorchTensor)) {
      throw new FormatError(
        `collectStateDict: got ${describe(tensor)} under ${describe(name)}, expected names with tensors. ` +
          'Name the place of the weights with the option key.',
      );
    }
    tensors.set(name, tensor);
  }
  return stripPrefixes(tensors);
}

/** Weights at the usual keys come before tensors at the top (`{best_acc: tensor(...), state_dict: ...}`). */
function find(value: PickleValue, depth: number): Dict | undefined {
  if (!(value instanceof Map) || depth > MAX_DEPTH) return undefined;
  for (const key of USUAL_KEYS) {
    const found = find(value.get(key) ?? null, depth + 1);
    if (found !== undefined) return found;
  }
  if (isStateDict(value)) return value;
  const inside = [...value].filter(([, item]) => item instanceof Map && isStateDict(item));
  if (inside.length > 1) {
    throw new FormatError(
      `collectStateDict: found ${inside.length} dicts of tensors, at ${keysOf(inside.map(([key]) => key))}. ` +
        'Choose one with the option key.',
    );
  }
  return inside[0]?.[1] as Dict | undefined;
}

/** All entries are tensors under text keys, and there is one at least. */
function isStateDict(dict: Dict): boolean {
  let tensors = 0;
  for (const [name, value] of dict) {
    if (isExtra(name, value)) continue;
    if (typeof name !== 'string' || !(value instanceof TorchTensor)) return false;
    tensors += 1;
  }
  return tensors > 0;
}

/** What modules keep beside their tensors (get_extra_state): no weights. */
function isExtra(name: PickleValue, value: PickleValue): boolean {
  return (
    typeof name === 'string' && name.endsWith('_extra_state') && !(value instanceof TorchTensor)
  );
}

function followKey(value: PickleValue, key: string): Dict {
  // A key may contain dots itself, so the whole of it is tried first.
  const steps = value instanceof Map && value.has(key) ? [key] : key.split('.');
  let at = value;
  for (const step of steps) {
    const next = at instanceof Map ? at.get(step) : undefined;
    if (next === undefined) {
      throw new FormatError(
        `collectStateDict: got the key ${quoted(key)}, but there is no ${quoted(step)} in ${outline(at)}.`,
      );
    }
    at = next;
  }
  if (!(at instanceof Map)) {
    throw new FormatError(
      `collectStateDict: got ${describe(at)} at the key ${quoted(key)}, expected a dict of tensors.`,
    );
  }
  return at;
}

function stripPrefixes(tensors: Map<string, TorchTensor>): Map<string, TorchTensor> {
  let result = tensors;
  for (;;) {
    const names = [...result.keys()];
    const prefix = WRAPPER_PREFIXES.find((p) => names.every((name) => name.startsWith(p)));
    if (prefix === undefined || names.length === 0) return result;
    result = new Map([...result].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
  }
}

function outline(value: PickleValue): string {
  if (!(value instanceof Map)) return describe(value);
  return `a dict with the keys ${keysOf([...value.keys()])}`;
}

function keysOf(keys: readonly PickleValue[]): string {
  const shown = keys
    .slice(0, 12)
    .map((key) => (typeof key === 'string' ? quoted(key) : describe(key)));
  return shown.join(', ') + (keys.length > 12 ? ', ...' : '') || '(none)';
}
