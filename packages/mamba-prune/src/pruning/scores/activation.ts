// Score activation: mean |output| of the unit on real data times the norm of the weights that read it: what the unit
// really adds to the next layer.
import { meanOutputs } from '../measure.js';
import type { SliceRule } from './slice-rule.js';

export const activation: SliceRule = {
  counts: ({ consumer }) => consumer === true,
  factorsOf: meanOutputs,
};
