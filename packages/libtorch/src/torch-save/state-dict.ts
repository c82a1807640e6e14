// Finding the model's weights in a checkpoint.
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { inUsualOrder, keyList, rankOf } from './choose.js';
import { findStateDicts, type StoredStateDict } from './state-dicts.js';
import { dtypesHere } from './torch-globals.js';
import type { TorchTensor } from './torch-tensor.js';
import { describe } from './unpickler.js';
import type { PickleValue } from './values.js';

/** What DataParallel and torch.compile put in front of every name. */
const wrapperPrefixes = ['module.', '_orig_mod.'];

/**
 * The model's weights by their PyTorch names, whatever the checkpoint wraps around them: a plain state
 * dict, `{state_dict: ...}`, `{model: ...}` and the like, a whole module, or the only dict of tensors there
 * is. An average of the weights (`state_dict_ema`, `model_ema`, `ema`) comes first, as in timm. What is no
 * tensor is left out, and so are the prefixes `module.` (DataParallel) and `_orig_mod.` (torch.compile) if
 * all names have them.
 *
 * @param value - what readTorchSaveFile gave
 * @param options.key - where the weights are, if that is not clear: `ema`, or `models.teacher`
 * @throws FormatError if there are none or several candidates; the message lists the keys to choose from
 */
export function collectStateDict(
  value: PickleValue,
  options: { readonly key?: string } = {},
): Map<string, TorchTensor> {
  const all = findStateDicts(value, 'collectStateDict');
  const dicts = all.filter(({ tensors }) => tensors.size > 0);
  if (dicts.length === 0) refuseUnreadable(all);
  const { key } = options;
  return stripPrefixes((key === undefined ? usual(dicts, value) : named(dicts, key)).tensors);
}

/** @throws FormatError naming the first tensor, where there are none but those that cannot be read */
function refuseUnreadable(dicts: readonly StoredStateDict[]): void {
  const [first] = dicts.flatMap(({ unreadable }) => [...unreadable]);
  if (first === undefined) return;
  const [name, { what, advice }] = first;
  throw new FormatError(
    `collectStateDict: got ${quoted(name)}, ${what}, expected a dense tensor of one of ${dtypesHere}. ${advice}`,
  );
}

function usual(dicts: readonly StoredStateDict[], value: PickleValue): StoredStateDict {
  const most = dicts.reduce((size, { tensors }) => Math.max(size, tensors.size), 0);
  // Numbers beside the weights (`{best_acc: tensor(...), encoder: ...}`) do not make the top a state dict.
  const candidates = inUsualOrder(dicts).filter(
    ({ key, tensors }) => key !== '' || tensors.size === most,
  );
  const [first, second] = candidates;
  if (first === undefined) {
    throw new FormatError(`collectStateDict: found no dict of tensors in ${outline(value)}.`);
  }
  if (second !== undefined && rankOf(first.key) >= rankOf('other')) {
    throw new FormatError(
      `collectStateDict: found ${candidates.length} dicts of tensors, at ${keyList(candidates.map(({ key }) => key))}. ` +
        'Choose one with the option `key`.',
    );
  }
  return first;
}

function named(dicts: readonly StoredStateDict[], key: string): StoredStateDict {
  const exact = dicts.find((dict) => dict.key === key);
  const [within] = inUsualOrder(dicts.filter((dict) => dict.key.startsWith(`${key}.`)));
  const found = exact ?? within;
  if (found !== undefined) return found;
  throw new FormatError(
    `collectStateDict: got \`key\` ${quoted(key)}, expected one that holds tensors: ` +
      `${keyList(dicts.map((dict) => dict.key))}.`,
  );
}

function stripPrefixes(tensors: ReadonlyMap<string, TorchTensor>): Map<string, TorchTensor> {
  let result = new Map(tensors);
  for (;;) {
    const names = [...result.keys()];
    const prefix = wrapperPrefixes.find((p) => names.every((name) => name.startsWith(p)));
    if (prefix === undefined || names.length === 0) return result;
    result = new Map([...result].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
  }
}

/** What a value holds, in a message. */
export function outline(value: PickleValue): string {
  if (!(value instanceof Map)) return describe(value);
  const keys = [...value.keys()];
  const shown = keys
    .slice(0, 12)
    .map((key) => (typeof key === 'string' ? quoted(key) : describe(key)));
  return `a dict with the keys ${shown.join(', ') + (keys.length > 12 ? ', ...' : '') || '(none)'}`;
}
