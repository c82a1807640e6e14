// Optimizers and schedules: what the package exports as `optim`.
export { AdamW, type AdamWOptions } from './adamw.js';
export { clipGradNorm, clipGradNormOnDevice } from './clip.js';
export { averageAll_, mulAll_ } from './device-scalars.js';
export { decayGroups, muonGroups, noDecayNames } from './groups.js';
export { Muon, type MuonOptions, orthogonalized } from './muon.js';
export { Optimizer, type OptimizerScalars, type OptimizerState } from './optimizer.js';
export type { ParamGroup, ParamGroupOptions } from './param-groups.js';
export {
  type MultiStepOptions,
  type Schedule,
  type WarmupOptions,
  constant,
  linear,
  multiStep,
  warmupCosine,
} from './schedules.js';
export { SGD, type SGDOptions } from './sgd.js';
