import { checkOptions } from './check-options.js';
import type { DType, TypedArray } from './dtype.js';
import { fromTypedArray } from './factories.js';
import { type SafetensorsDType, safetensorsDTypes } from './safetensors/dtype.js';
import { SafetensorsFile } from './safetensors/read.js';
import { type SafetensorsEntry, writeSafetensorsFile } from './safetensors/write.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import type { TorchSaveOptions } from './torch-save/environment.js';
import { TorchSaveFile } from './torch-save/read.js';
import { collectStateDict } from './torch-save/state-dict.js';

const fromFile = Object.fromEntries(
  Object.entries(safetensorsDTypes).map(([dtype, name]) => [name, dtype]),
) as Record<SafetensorsDType, DType>;

export interface LoadSafetensorsOptions {
  /** `cpu` unless given */
  readonly device?: string;
  /** Only these tensors; all unless given. */
  readonly names?: readonly string[];
}

/**
 * Reads tensors from a safetensors file, each in the type it has there. One tensor is read at a time,
 * so no second copy of the file is ever in memory. The caller owns the tensors.
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
      const { dtype, shape } = file.info(name);
      tensors.get(name)?.dispose();
      const type = fromFile[dtype];
      const load = (): Tensor => fromTypedArray(file.read(name), shape, { dtype: type, device });
      // On the way to a GPU a copy is made here: it goes with the scope.
      tensors.set(name, scope(load));
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
  /** `cpu` unless given */
  readonly device?: string;
  /** Where the state dict is inside the file, with points; found in the usual places unless given. */
  readonly key?: string;
}

/**
 * Reads the state dict of a file that `torch.save` wrote (PyTorch >= 1.6), without executing anything
 * that is pickled in it. A uniform `module.` before the names is dropped. The caller owns the tensors.
 *
 * @throws FormatError if the file is damaged, holds no state dict, or names Python objects other than
 *   those that tensors need; nothing is left allocated
 */
export async function loadTorchSave(
  path: string,
  { device, key, ...options }: LoadTorchSaveOptions = {},
): Promise<Map<string, Tensor>> {
  const file = await TorchSaveFile.open(path, options);
  const tensors = new Map<string, Tensor>();
  try {
    for (const [name, stored] of collectStateDict(file.value, key === undefined ? {} : { key })) {
      const dtype = fromFile[stored.dtype];
      tensors.set(
        name,
        scope(() => fromTypedArray(stored.read(), stored.shape, { dtype, device })),
      );
    }
    return tensors;
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  } finally {
    file.close();
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
      data: () => bytesOf(tensor.toTypedArray()),
    };
  });
  writeSafetensorsFile(path, entries, metadata);
}

function bytesOf(values: TypedArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
