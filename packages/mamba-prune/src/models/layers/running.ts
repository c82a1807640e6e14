// How models run, and in which forms they keep their weights for it.
//
// A family's `model.ts` is its mathematics, operator by operator. Its `run.ts` decides which parts larger operators compute
// instead:
//
//   a whole block, for inference on the CPU in float32     all families but VMamba, where `infersOnCpu` says so
//   a branch of a block on a GPU, forward and backward     the Mamba, and Vim, whose layers have one
//   a branch on the CPU in float32, likewise               the Mamba with one direction of the scan
//   all blocks on a GPU, for inference                     the Mamba
//
// Everything else goes operator by operator: other training on the CPU, probes, other types, sizes that a kernel does not take. The
// results are the same up to the rounding of sums; in 16 bits on a GPU the MLP's GELU is its tanh form (`kernels.mlpBranch`).
//
// Parameters are float32 and are never replaced. Some operators read the parameters themselves: the branches of a Mamba on
// the CPU, and those on a GPU in float32. Others want the weights in another form, which is out of date as soon as a parameter
// changes. There are three kinds of such forms, and they differ in who notices:
//
//   refreshed   Copies in 16 bits. Whoever changes the weights refreshes them, once per step: `weightCopies` in
//               precision.ts. Any layer finds the copy of its parameter (`WeightCopies`, `F.weightFor`). The copies that
//               the branches on a GPU want padded (`MatrixCopies`) are written by the same call.
//   compared    Forms that take computing: the matrices of a ViT, a Mamba and a Vim in panels, matrices for products in low precision while somebody
//               has asked for these (`prepareInference`), the ResNet's convolutions with BatchNorm folded
//               in and under Winograd's transform. `DerivedWeights` compares the versions of the parameters at each use,
//               because nobody announces an evaluation between two steps. Training mode frees them. Panels, which lose nothing,
//               are in memory in place of their matrices (`LentWeights`); matrices in low precision are too, while these are in
//               a file (`FiledWeights`). The ResNet's forms are beside their parameters.
//   promised    What the operators for all blocks read, for few images and for many (`BlockStack`), each packed when it is
//               first needed. Whoever asks for them promises that the weights stay as they are
//               (`weightCopies(..., { fixed: true })`): a graph that is replayed compares nothing.
import { F, type Tensor, isGradEnabled } from '@mamba-prune/libtorch';
import type { UnitProbe } from '../image-model.js';
import type { SelectiveSsm } from './ssm.js';

/**
 * Whether the operators for inference on the CPU take a tensor: float32, without gradients, and with nobody looking in
 * between. The caller also asks whether the module evaluates.
 */
export function infersOnCpu(x: Tensor, probe: UnitProbe | undefined): boolean {
  return !probe && !isGradEnabled() && x.device === 'cpu' && x.dtype === 'float32';
}

/**
 * Whether the operators of the CPU that do a branch each, forward and backward, take a tensor: float32, with nobody looking in
 * between. The caller also asks whether they take the block.
 */
export function takesCpuBranches(x: Tensor, probe: UnitProbe | undefined): boolean {
  return !probe && x.device === 'cpu' && x.dtype === 'float32';
}

type Sized = Pick<SelectiveSsm, 'sizes'>;

/** Whether the kernels' convolution has enough taps for an SSM. */
export function fitsConvKernel({ sizes }: Sized): boolean {
  return sizes.dConv <= F.kernelLimits.convTaps;
}

/** Whether the operator of a GPU for the branch of an SSM takes its sizes: with gradients it holds fewer states. */
export function fitsGpuBranch(ssm: Sized): boolean {
  return fitsConvKernel(ssm) && (ssm.sizes.dState <= F.kernelLimits.gpuStates || !isGradEnabled());
}
