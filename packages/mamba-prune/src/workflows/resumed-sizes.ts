// The model of a run that is resumed is the one that it began with: what was said of it is held against its config.json. That
// may be damaged, so its sizes are held against the run's checkpoint before a model is made of them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { UsageError } from '../errors.js';
import { checkModelOptions, findFamily } from '../models/families.js';
import type { ModelShapes } from '../models/family.js';
import { stableJson } from '../training/options.js';
import { RunFolder } from '../training/run-folder.js';
import { headsOf } from './same-info.js';
import { type TrainSettings, checkSame, storedSettings } from './settings.js';

const prefix = 'model.';

/**
 * Held against what was asked for, not against all that follows from it: another depth is not many widths.
 * @param run - its folder
 * @throws UsageError naming what of it is not that of the run, or no option of its architecture
 */
export function checkResumedModel(
  run: string,
  { arch, model: options, imageSize }: Pick<TrainSettings, 'arch' | 'model' | 'imageSize'>,
): void {
  const recorded = RunFolder.open(run).config.model as object | undefined;
  if (recorded === undefined) return;
  const stored = storedSettings(run, 'train');
  const before: Readonly<Record<string, unknown>> = {
    ...findFamily(arch)?.architectures[arch],
    ...stored.model,
    ...headsOf(recorded),
    ...recorded,
  };
  const began = new Map(
    Object.entries({ arch: stored.arch, ...stored.model, imageSize: stored.imageSize }),
  );
  // What nobody asked for otherwise is damaged where it differs, and what an earlier version did not record is seen where the
  // model is made.
  const changed = Object.entries({ arch, ...options, imageSize }).filter(
    ([name, value]) =>
      value !== undefined &&
      before[name] !== undefined &&
      stableJson(value) !== stableJson(began.get(name)),
  );
  checkSame('model', Object.fromEntries(changed), before);
  checkModelOptions(arch, options);
}

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
