// A model of random weights as a cut would leave it, for measurements: made narrow, not cut.
import { createModel } from 'mamba-prune';

/**
 * @param rate - the share of SSM channels and MLP neurons that it is without
 * @returns a model made narrow: if it were cut, a dense model beside it would be part of the memory
 */
export function narrowModel(arch, { rate = 0, imageSize = 32 } = {}) {
  const keep = 1 - rate;
  if (keep === 1) return createModel(arch, { imageSize });
  const shallow = createModel(arch, { depth: 1 });
  const { dModel, widths } = shallow.config;
  shallow.dispose();
  const part = (times) => Math.round(times * dModel * keep) / dModel;
  const mlp = Object.keys(widths).some((name) => name.endsWith('.mlp'))
    ? { mlpRatio: part(4) }
    : {};
  return createModel(arch, { imageSize, expand: part(2), ...mlp });
}
