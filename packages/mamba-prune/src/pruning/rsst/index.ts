export type { RegApplication, RegNorm, RegUnits } from './choices.js';
export { regApplications, regNorms, regUnits, rsstDefaults } from './choices.js';
export type { NearZeroOptions, NormCutOptions } from './cut.js';
export { unitsByNorm, unitsOverNearZero } from './cut.js';
export type { RsstHooks } from './hooks.js';
export { rsstHooks, RsstTerm } from './hooks.js';
export type { RegularizerOptions } from './regularizer.js';
export { computeStructuredRegularization, doomedUnits } from './regularizer.js';
export type { RsstSchedule, RsstStrength } from './schedule.js';
export { defaultExponent, rsstLambda, rsstScheduleExp, rsstSchedules } from './schedule.js';
export type { RsstSpan } from './span.js';
export type { RsstOptions } from './rsst.js';
export { Rsst } from './rsst.js';
export type { KindNorms, NormSpread, UnitNorms } from './unit-norms.js';
export {
  measureUnitNorms,
  normBins,
  normQuantiles,
  readUnitNorms,
  summarizeUnitNorms,
} from './unit-norms.js';
export type { UnitSet } from './unit-slices.js';
