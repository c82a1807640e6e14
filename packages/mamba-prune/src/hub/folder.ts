// Which folders were written for the hub, by the config.json in them.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { hubConfigKey } from '../hub-names.js';
import { cardFiles } from '../models/import/card.js';
import { largestCardFile } from './model-card-config.js';

/** Whether a path is a folder as `export --format hf` writes it; a run, whose config.json is of another kind, is none. */
export function isHubFolder(path: string): boolean {
  try {
    if (!statSync(path).isDirectory()) return false;
    const text = readTextFile(join(path, cardFiles[0]), { most: largestCardFile });
    const config: unknown = JSON.parse(text);
    return typeof config === 'object' && config !== null && Object.hasOwn(config, hubConfigKey);
  } catch {
    // Whoever opens it says what is wrong.
    return false;
  }
}
