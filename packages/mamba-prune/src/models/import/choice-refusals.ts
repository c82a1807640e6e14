// Tensors of the weights that were chosen from a file which keep the model from being read.
import { FormatError } from '@mamba-prune/libtorch';
import { listed } from '../../printable.js';
import type { Candidate, FoundDict } from './choice.js';
import { cleanName, isNoWeight } from './names.js';

/**
 * A parameter of the model that cannot be read is no entry beside it: without it another model would be made, such as one
 * without a bias. None is how PyTorch says that there is no such parameter.
 * @throws FormatError naming the first
 */
export function refuseUnreadable({ dict, prefix, names }: Candidate<FoundDict>): void {
  const { shapes, unreadable, others } = dict;
  const wanted = [...names].filter(
    ([name, stored]) => unreadable?.has(stored) && !isNoWeight(name, shapes.get(stored) ?? []),
  );
  const [[, first] = []] = wanted;
  const tensor = first === undefined ? undefined : unreadable?.get(first);
  if (first !== undefined && tensor !== undefined) {
    const more = wanted.length > 1 ? `, the first of ${wanted.length} such tensors` : '';
    refuse(first, tensor.what + more, tensor.advice);
  }
  const layers = new Set(Array.from(names.keys(), (name) => name.replace(/[^.]*$/, '')));
  for (const [stored, what] of others ?? []) {
    const name = cleanName(stored);
    if (!name.startsWith(prefix) || what === 'None') continue;
    const own = name.slice(prefix.length);
    if (own.endsWith('._packed_params')) {
      refuse(
        stored,
        'packed weights of a quantized layer',
        'Save the state dict that the model had before it was quantized.',
      );
    }
    const isParameter =
      /\.(?:weight|bias|running_(?:mean|var))$/.test(own) && layers.has(own.replace(/[^.]*$/, ''));
    if (isNoWeight(own, []) || !isParameter) continue;
    refuse(stored, what, 'Is the file complete? Save the model anew where it was trained.');
  }
}

/** @throws FormatError for two tensors of one name, such as of a model that was wrapped after a part of it was saved */
export function refuseTwice({ dict, prefix, names }: Candidate<FoundDict>): void {
  for (const stored of dict.shapes.keys()) {
    const name = cleanName(stored);
    const taken = names.get(name.slice(prefix.length));
    if (!name.startsWith(prefix) || taken === undefined || taken === stored) continue;
    throw new FormatError(
      `import: got both ${listed([`'${stored}'`])} and ${listed([`'${taken}'`])}, which are both ${listed([`'${name}'`])} without what wrappers put ` +
        'before names, expected one of them.',
    );
  }
}

function refuse(stored: string, what: string, advice: string): never {
  throw new FormatError(
    `import: got ${listed([`'${stored}'`])}, ${what}, expected a dense tensor of ${readableTypes}. ${advice}`,
  );
}

/** Names that nobody knows are refused with a list of what was read, in which these would be missing without a word. */
export function unreadableNotes({ dict, names }: Candidate<FoundDict>): string[] {
  const entries = Array.from(names.values()).flatMap((stored) => {
    const tensor = dict.unreadable?.get(stored);
    return tensor === undefined ? [] : [{ text: `${stored} (${tensor.what})`, ...tensor }];
  });
  const [first] = entries;
  if (first === undefined) return [];
  const count = entries.length === 1 ? '1 tensor' : `${entries.length} tensors`;
  const list = listed(entries.map(({ text }) => text));
  return [`${count} of the file cannot be read: ${list}. ${first.advice}`];
}

/** Models compute in float32, and these convert. */
const readableTypes = 'float64, float32, float16 or bfloat16';
