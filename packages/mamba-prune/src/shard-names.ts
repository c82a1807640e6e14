// The names of weights that are split over several files, as Hugging Face names them.
import { basename } from 'node:path';

const index = /\.(safetensors|bin)\.index\.json$/;
const part = /-\d{5}-of-\d{5}\.\w+$/;

/** Whether a file says which of the files beside it holds which tensor. */
export const isShardIndex = (path: string): boolean => index.test(basename(path));

/** The index among files of one folder, of safetensors before torch.save. */
export function shardIndexAmong(files: readonly string[]): string | undefined {
  const all = files.filter(isShardIndex);
  return all.find((name) => name.endsWith('.safetensors.index.json')) ?? all[0];
}

/** Whether a file is one of those, which is of no use alone. */
export const isShard = (path: string): boolean => part.test(basename(path));
