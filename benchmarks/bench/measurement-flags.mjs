// What is measured, and how often: the flags of one measurement, the same whoever computes the model.
import { share, whole } from '../../scripts/script-flags.mjs';

export const measurementFlags = {
  arch: { type: 'string', default: 'mamba_small' },
  batch: { type: 'string', default: '32', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  runs: { type: 'string', default: '5', value: whole() },
  rate: { type: 'string', default: '0', value: share },
  'image-size': { type: 'string', default: '32', value: whole() },
};
