/** Training and evaluation mode of every part of a model: they need not be the same. */
import type { nn } from '@mamba-prune/libtorch';

/**
 * Notes the mode of every module, so that what sets them for a while can put them back: parts of a model can be frozen
 * in evaluation mode while the rest trains, and `train(model.training)` at the end would wake them.
 * @returns puts the modes back
 */
export function rememberModes(model: nn.Module): () => void {
  const modes = Array.from(model.namedModules().values(), (module) => ({
    module,
    training: module.training,
  }));
  return () => {
    // Parents come first, and `train` sets all below: each child then gets its own back.
    for (const { module, training } of modes) module.train(training);
  };
}
