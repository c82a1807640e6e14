// Files with weights: what kind a file is, told by its content, and the state dicts in it.
import { closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FormatError, type Tensor } from '@mamba-prune/libtorch';
import {
  type FileKind,
  SafetensorsFile,
  type StoredStateDict,
  TorchCheckpoint,
  type TorchTensor,
  kindOfFile,
  openRegularFile,
  readSafetensorsTensor,
} from '@mamba-prune/libtorch/files';
import { zeroModelFile, zeroScript } from '../../distributed-names.js';
import { UsageError } from '../../errors.js';
import { whyMissing } from '../../files/missing.js';
import { printableLine, printableName } from '../../printable.js';
import { isShardIndex } from '../../shard-names.js';
import type { FoundDict } from './choice.js';
import { readShardIndex } from './shards.js';
import { CheckpointWords, type Holder } from './words.js';

/** What a file is. @throws UsageError if it cannot be opened */
export function fileKind(path: string): FileKind {
  try {
    const { fd, size } = openRegularFile(path, path);
    try {
      return kindOfFile(fd, size, path);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const what =
      (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? whyMissing(path)
        : `cannot be read (${(error as Error).message})`;
    throw new UsageError(
      `import: got ${path}, which ${what}, expected a .safetensors file or one of torch.save.`,
      { cause: error },
    );
  }
}

/** An open file; close it when done. */
export interface WeightsFile {
  readonly dicts: readonly FoundDict[];
  /**
   * What it says beside the weights; there for kinds of files that have a place for it.
   * @param modules - attributes of a pickled module, which go before
   */
  words?(modules?: readonly Holder[]): CheckpointWords;
  /** What lies beside the state dicts and is not taken, as sentences. */
  readonly notes?: readonly string[];
  /**
   * @param names - new names, with those that the dict has
   * @returns tensors under the new names; the caller owns them
   */
  load(dict: FoundDict, names: ReadonlyMap<string, string>): Map<string, Tensor>;
  close(): void;
}

/**
 * Opens a file of another program, or with the index of split weights all files that it names.
 * @throws FormatError naming what the file is if it is no file of weights, or if there are none in it
 */
export async function openWeights(path: string, kind: FileKind): Promise<WeightsFile> {
  if (isShardIndex(path)) return splitWeights(path);
  switch (kind.format) {
    case 'safetensors':
      return safetensorsWeights(path);
    case 'torch-zip':
    case 'torch-legacy':
    case 'zip':
      return torchWeights(path);
    default:
      throw new FormatError(
        `${path}: got ${kind.what}, expected a safetensors file or one of torch.save. ${kind.advice}`,
      );
  }
}

function safetensorsWeights(path: string): WeightsFile {
  const file = SafetensorsFile.open(path);
  const shapes = new Map(file.names().map((name) => [name, file.info(name).shape]));
  return {
    dicts: [{ key: '', shapes }],
    load: (_, names) => loadEach(names, (stored) => readSafetensorsTensor(file, stored)),
    close: () => {
      file.close();
    },
  };
}

/** One state dict, whose tensors lie in several files. */
async function splitWeights(path: string): Promise<WeightsFile> {
  const parts: Part[] = [];
  const index = readShardIndex(path);
  const known = new Set([...index.values()].flat());
  const close = (): void => {
    for (const { file } of parts) file.close();
  };
  try {
    for (const [name, tensors] of index) {
      const at = join(dirname(path), name);
      const file = await openWeights(at, fileKind(at));
      const dict = file.dicts[0] as FoundDict;
      parts.push({ file, dict, names: new Set(tensors) });
      const missing = tensors.find((tensor) => !dict.shapes.has(tensor));
      if (missing !== undefined) {
        throw new FormatError(
          `${path}: says that '${printableName(missing)}' lies in ${printableLine(name)}, which has no such tensor. Are these files of one model?`,
        );
      }
      // Without it another model would be read, such as one without a bias.
      const unknown = [...dict.shapes.keys()].find((tensor) => !known.has(tensor));
      if (unknown !== undefined) {
        throw new FormatError(
          `${path}: says nothing of '${printableName(unknown)}', which lies in ${printableLine(name)}, expected a file for every tensor. Are these files of one model?`,
        );
      }
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    dicts: [{ key: '', shapes: new Map(parts.flatMap(shapesOf)) }],
    load(_, names) {
      const loaded = new Map<string, Tensor>();
      try {
        for (const { file, dict, names: here } of parts) {
          const own = new Map([...names].filter(([, stored]) => here.has(stored)));
          for (const [name, tensor] of file.load(dict, own)) loaded.set(name, tensor);
        }
        return loaded;
      } catch (error) {
        for (const tensor of loaded.values()) tensor.dispose();
        throw error;
      }
    },
    close,
  };
}

/** A file of split weights. */
interface Part {
  readonly file: WeightsFile;
  readonly dict: FoundDict;
  /** Of the tensors that the index has in this file. */
  readonly names: ReadonlySet<string>;
}

const shapesOf = ({ dict, names }: Part): [name: string, shape: readonly number[]][] =>
  [...dict.shapes].filter(([name]) => names.has(name));

/** A state dict of a file of torch.save, to be chosen. */
function foundDict(dict: StoredStateDict): FoundDict {
  const { key, tensors, unreadable, others, module, modules } = dict;
  const shapes = new Map(
    [...tensors, ...unreadable].map(([name, { shape = [] }]) => [name, shape]),
  );
  return { key, shapes, unreadable, others, module, modules };
}

async function torchWeights(path: string): Promise<WeightsFile> {
  // Checkpoints hold the script's own objects too; only tensors are taken, and nothing is run.
  const file = await TorchCheckpoint.open(path, { onUnknownGlobal: 'placeholder' });
  if (file.stateDicts.length === 0) {
    const isOfZero = file.plainEntry('ds_version') !== undefined;
    file.close();
    throw new FormatError(
      `${path}: found no weights of a model in ${file.outline}, expected a state dict or a module. ` +
        (!isOfZero
          ? 'Save model.state_dict(): what an optimizer keeps is no model.'
          : `The file is what a process of DeepSpeed keeps of its optimizer: give the ${zeroModelFile} beside it, or what ${zeroScript} makes of all.`),
    );
  }
  const stored = new Map(file.stateDicts.map((dict) => [foundDict(dict), dict] as const));
  return {
    dicts: [...stored.keys()],
    words: (modules) => CheckpointWords.of(file, modules),
    // Their order is that of the parameters of a module, which the order of a state dict need not be.
    notes: file.namelessAverages.map(
      (key) =>
        `The averages at '${printableName(key)}' were not taken: they are a list without names, as torch_ema keeps them. To take them, ` +
        'call ema.copy_to() in the script and save model.state_dict().',
    ),
    load: (dict, names) => {
      const from = stored.get(dict)?.tensors ?? new Map<string, TorchTensor>();
      const wanted = Array.from(names).flatMap(([name, old]) => {
        const tensor = from.get(old);
        return tensor === undefined ? [] : [[name, tensor] as const];
      });
      return file.load(new Map(wanted));
    },
    close: () => {
      file.close();
    },
  };
}

function loadEach(
  names: ReadonlyMap<string, string>,
  read: (stored: string) => Tensor,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  try {
    for (const [name, stored] of names) tensors.set(name, read(stored));
    return tensors;
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}
