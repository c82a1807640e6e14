/**
 * Files of tensors below the level of state dicts, and files as programs need them: written as a whole or not at all, read
 * only where they are regular files.
 *
 * @module @mamba-prune/libtorch/files
 */
export { PickledArray, readArrayPickle } from '../torch-save/array-pickle.js';
export type { PickleValue, PythonGlobal, PythonObject } from '../torch-save/values.js';
export { TorchCheckpoint } from '../torch-save/checkpoint.js';
export type { PickledModule } from '../torch-save/module.js';
export type { PlainValue } from '../torch-save/plain.js';
export type { StoredStateDict, UnreadableTensor } from '../torch-save/state-dicts.js';
export type { TorchTensor } from '../torch-save/torch-tensor.js';
export type { TorchSaveOptions } from '../torch-save/environment.js';
export { rankOf as stateDictRank } from '../torch-save/choose.js';
export { type SafetensorsDType, safetensorsDTypes } from '../safetensors/dtype.js';
export { SafetensorsFile, type SafetensorsInfo } from '../safetensors/read.js';
export {
  fromFile as dtypeFromFile,
  readTensor as readSafetensorsTensor,
  tensorPieces,
} from '../safetensors/tensors.js';
export {
  type SafetensorsEntry,
  safetensorsBytes,
  writeSafetensorsFile,
} from '../safetensors/write.js';
export { writeFileAtomic, writeFully } from './atomic.js';
export {
  type ReadFileOptions,
  digestFile,
  openRegularFile,
  readRegularFile,
  readTextFile,
  updateHash,
} from './read.js';
export { type FileFormat, type FileKind, kindOfFile } from './kind.js';
export { systemReason } from './reason.js';
