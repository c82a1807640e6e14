// What inference takes of a GPU's memory, in a process of its own: libraries keep what they once took.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CudaGraph, cudaMemory, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { weightCopies } from 'mamba-prune/internal';
import { gpu, skip } from './support.mjs';

describe('inference in bfloat16', { skip }, () => {
  const model = createModel('mamba_small').eval();
  const float32 = 4 * model.numParameters();

  // Plain PyTorch under autocast has them in float32, in 16 bits, and 32 MiB for cuBLAS: 2.2 times the weights for one image.
  // Ours has them in 16 bits once more, in the order of the kernels, but nothing for products that need nothing.
  for (const [batch, most] of [
    [1, 2.3],
    [128, 3.7],
  ]) {
    it(`of ${batch} images as one graph takes at most ${most} times the weights in float32`, () => {
      model.to(gpu);
      const copies = weightCopies(model, 'bf16', { fixed: true });
      const images = randn([batch, 3, 32, 32], { device: gpu }).to('bfloat16');
      const infer = () => {
        scope(() => void noGrad(() => model.forward(images)));
      };
      for (let i = 0; i < 3; i++) infer();
      const graph = CudaGraph.capture(gpu, infer);
      graph.replay();
      const { reserved } = cudaMemory(gpu);
      console.log(`${batch} images: ${(reserved / 2 ** 20).toFixed(0)} MiB`);
      assert.ok(reserved <= most * float32, `${reserved} bytes, the weights ${float32}`);
      graph.dispose();
      images.dispose();
      copies?.dispose();
    });
  }
});
