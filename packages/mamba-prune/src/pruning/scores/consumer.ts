// Score consumer: the members that the model marks `scored`. Of an SSM channel that is the column of out_proj, by which
// the next layer reads it; of a neuron the column of fc2 that reads it, and the row of fc1 that makes it.
import type { SliceRule } from './slice-rule.js';

export const consumer: SliceRule = { counts: ({ scored }) => scored === true };
