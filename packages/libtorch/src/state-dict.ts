// Tensors by name in files: safetensors, and files of torch.save.
import { checkOptions } from './check-options.js';
import { FormatError } from './errors.js';
import { safetensorsDTypes } from './safetensors/dtype.js';
import { SafetensorsFile } from './safetensors/read.js';
import { readTensor, tensorPieces } from './safetensors/tensors.js';
import { type SafetensorsEntry, writeSafetensorsFile } from './safetensors/write.js';
import type { Tensor } from './tensor.js';
import { loadTensors } from './torch-save/checkpoint.js';
import type { TorchSaveOptions } from './torch-save/environment.js';
import { TorchSaveFile } from './torch-save/read.js';
import { collectStateDict } from './torch-save/state-dict.js';

export interface LoadSafetensorsOptions {
  /** Where the tensors are made. Default `cpu`. */
  readonly device?: string;
  /** Only these tensors. Default: all. */
  readonly names?: readonly string[];
}

/**
 * Reads tensors from a safetensors file, each in the type it has there, in pieces: no second copy of the
 * file, nor of a large tensor, is ever in memory. The caller owns the tensors.
 *
 * @throws FormatError if the file is damaged or lacks a name asked for; nothing is left allocated
 */
export function loadSafetensors(
  path: string,
  options: LoadSafetensorsOptions = {},
): { tensors: Map<string, Tensor>; metadata: Record<string, string> } {
  checkOptions('loadSafetensors', options, { device: 'string', names: 'array' });
  const { device, names } = options;
  const file = SafetensorsFile.open(path);
  const tensors = new Map<string, Tensor>();
  try {
    for (const name of names ?? file.names()) {
      tensors.get(name)?.dispose();
      tensors.set(name, readTensor(file, name, device));
    }
    return { tensors, metadata: { ...file.metadata } };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  } finally {
    file.close();
  }
}

export interface LoadTorchSaveOptions extends TorchSaveOptions {
  /** Where the tensors are made. Default `cpu`. */
  readonly device?: string;
  /** Where the state dict is inside the file, with points. Default: the usual places are searched. */
  readonly key?: string;
}

/**
 * Reads the state dict of a file that `torch.save` wrote, of any version from PyTorch 0.1.10 on, without
 * executing anything that is pickled in it. Of several the usual one is taken, see `collectStateDict`; what
 * is no tensor in it, and a uniform `module.` before the names, is left out. The caller owns the tensors.
 *
 * @throws FormatError if the file is damaged, holds no state dict, names Python objects other than those
 *   that tensors need, or has tensors far larger than itself; nothing is left allocated
 */
export async function loadTorchSave(
  path: string,
  { device, key, ...options }: LoadTorchSaveOptions = {},
): Promise<Map<string, Tensor>> {
  const file = await TorchSaveFile.open(path, options);
  try {
    return loadTensors(file, stateDictOf(path, file, key), device);
  } finally {
    file.close();
  }
}

/** @throws FormatError naming the file if there is none in it */
function stateDictOf(
  path: string,
  file: TorchSaveFile,
  key: string | undefined,
): ReturnType<typeof collectStateDict> {
  try {
    return collectStateDict(file.value, key === undefined ? {} : { key });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(`readTorchSave "${path}": ${error.message}`, { cause: error });
  }
}

/**
 * Writes tensors to a safetensors file in the map's order, from any device, each in its own type.
 * Atomic: the old file stays until the new one is complete. One tensor is copied at a time.
 *
 * @param metadata - text stored beside the tensors
 */
export function saveSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const entries = Array.from(tensors, ([name, tensor]): SafetensorsEntry => {
    const { dtype, shape } = tensor;
    return {
      name,
      dtype: safetensorsDTypes[dtype],
      shape,
      data: () => tensorPieces(tensor),
    };
  });
  writeSafetensorsFile(path, entries, metadata);
}
