// The sizes of a run that is resumed come from its config.json, which may be damaged: they are held against
// the run's checkpoint before a model is made of them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { UsageError } from '../errors.js';
import type { ModelShapes } from '../models/family.js';

const prefix = 'model.';

/**
 * @param run - its folder; one without a checkpoint that can be read is not checked
 * @throws UsageError naming the first tensor that is not of the checkpoint's shape
 */
export function checkResumedSizes(run: string, shapes: ModelShapes): void {
  const names = ['last', 'previous'].map((name) => join(run, 'checkpoints', `${name}.safetensors`));
  const path = names.find(existsSync);
  if (path === undefined) return;
  let file: SafetensorsFile;
  try {
    file = SafetensorsFile.open(path);
  } catch {
    return; // What is wrong with it is said where it is read.
  }
  try {
    for (const [name, shape] of shapes) {
      const stored = file.has(prefix + name) ? file.info(prefix + name).shape : undefined;
      if (stored === undefined || String(stored) === String(shape)) continue;
      throw new UsageError(
        `resume: the model is not the one that the run began with: ${name} would be [${shape.join(', ')}], ` +
          `but is [${stored.join(', ')}] in ${path}. Leave options for sizes out; if there are none, ` +
          `the settings in ${join(run, 'config.json')} are damaged.`,
      );
    }
  } finally {
    file.close();
  }
}
