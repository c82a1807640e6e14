// An open file of torch.save, to choose among the state dicts in it before any tensor is made.
import { FormatError } from '../errors.js';
import { fromTypedArray } from '../factories.js';
import { fromFile } from '../safetensors/tensors.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import type { TorchSaveOptions } from './environment.js';
import { type PlainValue, plainValue } from './plain.js';
import { TorchSaveFile } from './read.js';
import { outline } from './state-dict.js';
import { findStateDicts, type StoredStateDict } from './state-dicts.js';
import type { TorchTensor } from './torch-tensor.js';

/** Close it when done: tensors that were loaded stay. */
export class TorchCheckpoint {
  readonly path: string;
  /** In the order of the file: every dict with tensors in it, and every pickled module. */
  readonly stateDicts: readonly StoredStateDict[];
  readonly #file: TorchSaveFile;

  private constructor(path: string, stateDicts: readonly StoredStateDict[], file: TorchSaveFile) {
    this.path = path;
    this.stateDicts = stateDicts;
    this.#file = file;
  }

  /** What lies at the top of the file, for messages: `a dict with the keys "epoch", "optimizer"`. */
  get outline(): string {
    return outline(this.#file.value);
  }

  /**
   * An entry at the top of a file that holds a dict, as plain data: what the script that wrote it was called with, names of classes
   * and the like.
   * @returns undefined if there is none, or if it is no plain data
   */
  plainEntry(name: string): PlainValue | undefined {
    const top = this.#file.value;
    return top instanceof Map ? plainValue(top.get(name)) : undefined;
  }

  /**
   * Where averages of the weights lie as torch_ema keeps them, at the top or one step below it: a list in the order of the
   * parameters, without names, and so no state dict.
   */
  get namelessAverages(): readonly string[] {
    const top = this.#file.value;
    if (!(top instanceof Map)) return [];
    const isList = (value: unknown): boolean =>
      value instanceof Map &&
      Array.isArray(value.get('shadow_params')) &&
      (value.get('shadow_params') as readonly unknown[]).length > 0;
    const below = [...top].filter(([, value]) => isList(value));
    return [
      ...(isList(top) ? ['shadow_params'] : []),
      ...below.flatMap(([key]) => (typeof key === 'string' ? [`${key}.shadow_params`] : [])),
    ];
  }

  /**
   * @throws FormatError if the file is damaged, of another format, or names Python objects other than those
   *   that tensors need (unless `onUnknownGlobal` is `placeholder`); nothing pickled is run
   * @throws the system's error (ENOENT, EACCES, ...) if it cannot be opened
   */
  static async open(path: string, options: TorchSaveOptions = {}): Promise<TorchCheckpoint> {
    const file = await TorchSaveFile.open(path, options);
    try {
      const dicts = findStateDicts(file.value, `readTorchSave "${path}"`);
      return new TorchCheckpoint(path, dicts, file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Makes tensors of stored ones, under the names that they are given here. The caller owns them.
   * @param device - Default `cpu`.
   * @throws FormatError if the file is damaged, or they are far larger than it; nothing is left allocated
   */
  load(stored: ReadonlyMap<string, TorchTensor>, device?: string): Map<string, Tensor> {
    return loadTensors(this.#file, stored, device);
  }

  close(): void {
    this.#file.close();
  }
}

/** As `TorchCheckpoint.load`. */
export function loadTensors(
  file: TorchSaveFile,
  stored: ReadonlyMap<string, TorchTensor>,
  device?: string,
): Map<string, Tensor> {
  checkTotal(file, stored);
  const tensors = new Map<string, Tensor>();
  try {
    for (const [name, tensor] of stored) {
      const { shape } = tensor;
      const dtype = fromFile[tensor.dtype];
      tensors.set(
        name,
        scope(() => fromTypedArray(tensor.read(), shape, { dtype, device })),
      );
    }
    return tensors;
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

/** Views of shared memory that repeat what is in the file: tied weights, masks that were expanded. */
const maxRepeatedBytes = 64 * 1024 ** 2;

/**
 * Tensors of one file may share their memory and repeat it (`expand`), and each becomes a tensor of its
 * own here: a small file must not fill the memory.
 *
 * @throws FormatError if together they are far larger than the file
 */
function checkTotal(
  { path, size }: TorchSaveFile,
  tensors: ReadonlyMap<string, { readonly byteLength: number }>,
): void {
  let total = 0;
  for (const { byteLength } of tensors.values()) total += byteLength;
  const most = 2 * size + maxRepeatedBytes;
  if (total <= most) return;
  throw new FormatError(
    `readTorchSave "${path}": got ${tensors.size} tensors of ${total} bytes in all out of a file of ${size} by repetition, ` +
      `expected at most ${most}. Save tensors before they are expanded, and shared ones once.`,
  );
}
