import { checkLogits } from '../models/family-results.js';
import type { ImageModel } from '../models/image-model.js';
import type { BenchModel } from './bench.js';

/** A model as `benchmarkModels` takes it, with what a table says beside its times. */
export function benchModel(
  name: string,
  model: ImageModel,
): BenchModel & { readonly inputShape: readonly number[]; readonly parameters: number } {
  const { channels, imageSize } = model.config;
  return {
    name,
    module: model,
    forward: (images) => checkLogits(model.forward(images), images.size(0)),
    inputShape: [channels, imageSize, imageSize],
    parameters: model.numParameters(),
  };
}
