// Folders of checkpoints that several processes wrote together: what can be read of them, and how one file is made of the rest.
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readTextFile } from '@mamba-prune/libtorch/files';
import {
  hasZeroFiles,
  isDcpPart,
  isZeroSpread,
  zeroLatest,
  zeroModelFile,
  zeroScript,
} from '../distributed-names.js';
import { UsageError } from '../errors.js';
import { shellCommand } from '../shell.js';

/** More than the name of a folder needs. */
const largestLatest = 1024;

/** @throws UsageError for a file of torch.distributed.checkpoint, which is of no use alone */
export function refuseDcpPart(path: string): void {
  if (!isDcpPart(path)) return;
  throw new UsageError(
    `${path} is a part of a checkpoint of torch.distributed.checkpoint. ${joinedByDcp(dirname(path))}`,
  );
}

/** @throws UsageError for a folder of torch.distributed.checkpoint */
export function refuseDcpFolder(folder: string, files: readonly string[]): void {
  if (!files.some((name) => name.endsWith('.distcp'))) return;
  throw new UsageError(
    `${folder} is a checkpoint of torch.distributed.checkpoint, expected one file of weights. ${joinedByDcp(folder)}`,
  );
}

const joinedByDcp = (folder: string): string =>
  `Make one file of all its parts with Python: ${shellCommand([
    'python',
    '-m',
    'torch.distributed.checkpoint.format_utils',
    'dcp_to_torch',
    folder,
    'weights.pt',
  ])}`;

/**
 * The file of the model in a folder of DeepSpeed, or in the last checkpoint that lies in it.
 * @returns undefined for a folder of another kind
 * @throws UsageError where every process wrote a part of the model
 */
export function zeroModelIn(folder: string, files: readonly string[]): string | undefined {
  const step = hasZeroFiles(files) ? folder : latestIn(folder, files);
  if (step === undefined) return undefined;
  const parts = readdirSync(step);
  if (!hasZeroFiles(parts)) return undefined;
  if (!isZeroSpread(parts)) return join(step, zeroModelFile);
  const above = step === folder ? dirname(step) : folder;
  throw new UsageError(
    `${step} is a checkpoint of DeepSpeed whose parameters are spread over several files, expected one file of weights. ` +
      `Make it once with the script that DeepSpeed puts beside it: ${shellCommand(['python', join(above, zeroScript), above, 'weights'])}`,
  );
}

/** The folder that `latest` names. */
function latestIn(folder: string, files: readonly string[]): string | undefined {
  if (!files.includes(zeroLatest)) return undefined;
  try {
    const name = readTextFile(join(folder, zeroLatest), { most: largestLatest });
    const step = join(folder, basename(name.trim()));
    return statSync(step).isDirectory() ? step : undefined;
  } catch {
    // None of DeepSpeed's.
    return undefined;
  }
}
