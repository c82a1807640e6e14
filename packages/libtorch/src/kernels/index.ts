/**
 * Operators that compute a whole block or branch of a certain architecture at once, and the forms in which they read
 * weights. The rest of the package knows nothing of models.
 *
 * @module @mamba-prune/libtorch/kernels
 */
export {
  type ClusterLayout,
  type ClusterStack,
  clusterBlocks,
  clusterImages,
  hasClusterBlocks,
  packCluster,
} from './cluster-blocks.js';
export { type BranchUnits, makeBranchUnits, packBranchUnits } from './branch-units.js';
export { type FusedBlock, hasFusedBlocks, mambaBlocks, packUnits } from './fused-blocks.js';
export {
  type BranchNorm,
  type BranchWeights,
  hasFusedBranches,
  mlpBranch,
  ssmBranch,
} from './fused-branches.js';
export { embedPatches, hasEmbedPatches } from './embed-patches.js';
export { normMean } from './norm-mean.js';
export { type MeanCrossEntropyOptions, classLogits, meanCrossEntropy } from './classifier.js';
export { mlpBranchOnCpu, ssmBranchOnCpu } from './cpu-branches.js';
export {
  type MambaBlockWeights,
  type PackedConvolution,
  type Shortcut,
  type VitBlockSizes,
  type VitBlockWeights,
  convBlock,
  mambaBlock,
  packWeights,
  unpackMatrix,
  vitBlock,
} from './inference-blocks.js';
export { type ConvolutionForm, packConvolution } from './convolution-weights.js';
export { type VimBlockWeights, vimBlock } from './vim-block.js';
export { type CrossScanInputs, crossScan, crossScanInParts } from './cross-scan.js';
export {
  type LowLinearOptions,
  type Patches,
  type ProductPrecision,
  lowLinear,
  lowPatches,
  packProduct,
  productKernels,
  productsMissing,
} from './low-precision.js';
