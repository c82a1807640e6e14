// Score group: every parameter of the group, each member's norms divided by their mean over the units, so that no member
// drowns the others. (Buffers, such as batch statistics, are no weights.)
import type { SliceRule } from './slice-rule.js';

export const group: SliceRule = {
  counts: () => true,
  divisorOf: (norms) => norms.mean().item(),
};
