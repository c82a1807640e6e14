// A run whose random crops libvips resized goes on with them: its images would be others.
import { existsSync } from 'node:fs';
import type { AugmentOptions } from '../data/index.js';
import { readCheckpointInfo } from './checkpoint.js';
import { CheckpointError } from './errors.js';
import type { RunFolder } from './run-folder.js';
import type { ResolvedTrainOptions } from './train-options.js';

type Begun = Pick<ResolvedTrainOptions, 'augment' | 'plainAugment'>;

/**
 * Options for a run that is resumed: what resizes random crops is what it began with. Everything else stays as it is
 * asked for, and is compared elsewhere.
 */
export function withCropsAsBegun(
  asked: ResolvedTrainOptions,
  run: Pick<RunFolder, 'config' | 'lastCheckpoint' | 'previousCheckpoint'>,
): ResolvedTrainOptions {
  const begun = optionsBegun(run);
  if (!begun) return asked;
  const { plainAugment } = asked;
  return {
    ...asked,
    augment: asBegun(asked.augment, begun.augment),
    ...(plainAugment && { plainAugment: asBegun(plainAugment, begun.plainAugment) }),
  };
}

function asBegun(asked: AugmentOptions, begun: AugmentOptions | undefined): AugmentOptions {
  if (!asked.resizedCrop || !begun?.resizedCrop) return asked;
  const { scale, ratio } = asked.resizedCrop;
  const { resize } = begun.resizedCrop;
  const crop = { ...(scale && { scale }), ...(ratio && { ratio }), ...(resize && { resize }) };
  return { ...asked, resizedCrop: crop };
}

/** Undefined before the first checkpoint of a run that keeps none in its configuration. */
function optionsBegun({
  config,
  lastCheckpoint,
  previousCheckpoint,
}: Parameters<typeof withCropsAsBegun>[1]): Begun | undefined {
  for (const path of [lastCheckpoint, previousCheckpoint]) {
    if (!existsSync(path)) continue;
    try {
      return readCheckpointInfo(path).options;
    } catch (error) {
      // That one is damaged is said where the training begins.
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return config.train;
}
