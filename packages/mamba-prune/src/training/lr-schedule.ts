/** The learning rate over a training, from its options. */
import { optim } from '@mamba-prune/libtorch';
import type { ResolvedTrainOptions } from './train-options.js';

/**
 * A factor on `lr` for every step: rises linearly over the warm-up, then follows `schedule`. It has no
 * state and needs the step alone, so a resumed training has the rates of one without interruption.
 */
export function learningRateSchedule(
  options: Pick<
    ResolvedTrainOptions,
    'schedule' | 'warmupEpochs' | 'minLrFactor' | 'milestones' | 'gamma'
  >,
  stepsPerEpoch: number,
): optim.Schedule {
  const warmupSteps = Math.round(options.warmupEpochs * stepsPerEpoch);
  switch (options.schedule) {
    case 'cosine':
      return optim.warmupCosine({ warmupSteps, minFactor: options.minLrFactor });
    case 'constant':
      return optim.constant({ warmupSteps });
    case 'multistep': {
      const { milestones = [], gamma = defaultGamma } = options;
      const steps = milestones.map((epoch) => Math.round(epoch * stepsPerEpoch));
      const warmup = optim.constant({ warmupSteps });
      const decay = optim.multiStep({ milestones: steps, gamma });
      // A milestone within the warm-up counts there too: torch's MultiStepLR does not know of one.
      return (step, totalSteps) => warmup(step, totalSteps) * decay(step, totalSteps);
    }
  }
}

/** PyTorch's. */
export const defaultGamma = 0.1;
