/**
 * What @mamba-prune/report and the benchmarks of this repository use beside the public entries. It is no part of the
 * public interface: a name here may change or go in any version.
 */
export {
  type BoxedModel,
  boxedArgument,
  boxedModelFile,
  boxedModelsIfAny,
  boxedPackage,
} from './boxed-models.js';
export { dataLabel } from './data/data-label.js';
export { requireRecordedDataset } from './data/datasets.js';
export { makeFolder } from './files/folder.js';
export { fitting, readJson } from './files/json.js';
export { checkModelFile } from './models/model-file.js';
export { modelLabel } from './models/model-label.js';
export { type OnnxCandidate, benchOnnx } from './bench/bench-onnx.js';
export { type PreparedInference, prepareInference } from './models/inference-precision.js';
export { imageType, weightCopies } from './models/precision.js';
export { checksOf, shown } from './checks.js';
export { trainLimits } from './limits.js';
export { type OptionKinds, checkOptions, requireOptions, requirePath } from './option-checks.js';
export {
  type ComparisonPicture,
  type PictureHeading,
  type ReportHooks,
  type ReportOptions,
  type ReportPackage,
  type ReportResult,
  type Studio,
  type StudioOptions,
  lastPort,
  usualImages,
  usualPort,
} from './report-package.js';
export { usualFillback } from './pruning/refill-choices.js';
export { releasing } from './releasing.js';
export { shellCommand } from './shell.js';
export { stableJson } from './training/options.js';
export { amountText } from './workflows/compare/budget.js';
export { type ReachedShares, reachedShares } from './workflows/compare/held-back.js';
export { compareMethods, methodLabel } from './workflows/compare/methods.js';
export { methodResults, methodTests } from './workflows/compare/outcomes.js';
export { pointsText } from './format.js';
export { pText } from './workflows/compare/test-text.js';
export { openDataFor, withModelInfo } from './workflows/fit.js';
export { decodeUnits } from './workflows/prune/kept-units.js';
