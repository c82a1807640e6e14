// How models run, and in which forms they keep their weights for it.
//
// A family's `model.ts` is its mathematics, operator by operator. Training, probes, 16 bits on the CPU and whatever nobody
// wrote a kernel for go that way. Its `run.ts` decides what is computed by larger operators instead:
//
//   a whole block, for inference on the CPU in float32     all families, where `infersOnCpu`
//   a branch of a block on a GPU, forward and backward     the Mamba
//   all blocks on a GPU, for inference                     the Mamba
//
// They compute the same up to the rounding of sums, and in the Mamba's branches of 16 bits up to GELU's tanh form.
//
// Parameters are float32 and are never replaced. Some operators read them as they are (the Mamba's block on the CPU, its
// branches in float32). Others want another form, which is made from the parameters and grows old when these change. Who
// knows when it is old is what the three kinds differ in:
//
//   refreshed   16-bit copies. Who changes the weights says so, once per step: `weightCopies` in precision.ts. Any
//               layer finds the copy of its parameter (`WeightCopies`, `F.weightFor`). Copies that the Mamba's branches
//               want padded (`PackedBlock`) are written by the same call.
//   compared    What has to be computed: the ViT's matrices in panels, the ResNet's convolutions with BatchNorm folded
//               in and Winograd's transform. The parameters' versions are compared at each use (`DerivedWeights`), since
//               evaluation between two steps has nobody who would refresh. Training mode frees them.
//   promised    What the operator for all blocks reads (`BlockStack`). Who asks for it promises that the weights stay
//               (`weightCopies(..., { fixed: true })`): a graph that is replayed compares nothing.
import { type Tensor, isGradEnabled } from '@mamba-prune/libtorch';
import type { UnitProbe } from '../image-model.js';

/**
 * Whether the operators for inference on the CPU take a tensor: float32, without gradients, and with nobody looking in
 * between. The caller also asks whether the module evaluates.
 */
export function infersOnCpu({ device, dtype }: Tensor, probe: UnitProbe | undefined): boolean {
  return !probe && !isGradEnabled() && device === 'cpu' && dtype === 'float32';
}
