// The whole model against the project's PyTorch yardstick, where both are at hand: the same weights
// must give the same logits, loss and gradients. A stored case of a small width always runs
// (packages/mamba-prune/src/models/mamba/model.test.ts).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { F, type Tensor, fromTypedArray, loadSafetensors, tensor } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../shared/peers/torch_mamba.py', import.meta.url));
const python = '/usr/bin/python3';

function whyNot(): string | undefined {
  if (!existsSync(script)) return 'the yardstick ../shared/peers/torch_mamba.py is absent';
  try {
    execFileSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${python} has no torch and numpy`;
  }
}

const missing = whyNot();

function floats(path: string): Float32Array {
  return new Float32Array(new Uint8Array(readFileSync(path)).buffer);
}

// Twelve blocks in float32: a rounding is 6e-8, and each block adds a few hundred in another order
// than PyTorch's. Measured 1e-6; a wrong formula would be off by far more than 2e-5.
const rounding = 2e-5;

function difference(a: Tensor, b: Tensor): number {
  const wide = b.detach().to('float64');
  return a.detach().to('float64').sub(wide).norm().item() / wide.norm().item();
}

it.skipIf(missing !== undefined)(
  `mamba_tiny gives PyTorch's logits, loss and gradients${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'peer-parity-'));
    try {
      execFileSync(python, [script, 'golden', folder, '--arch', 'mamba_tiny', '--seed', '1'], {
        stdio: 'ignore',
      });
      const model = createModel('mamba_tiny');
      model.loadStateDict(loadSafetensors(join(folder, 'weights.safetensors')).tensors);
      const logits = model.forward(
        fromTypedArray(floats(join(folder, 'input.f32')), [4, 3, 32, 32]),
      );
      const expected = fromTypedArray(floats(join(folder, 'logits.f32')), [4, 10]);
      expect(difference(logits, expected)).toBeLessThan(rounding);
      const loss = F.crossEntropy(logits, tensor([0, 1, 2, 3], { dtype: 'int64' }));
      expect(loss.item()).toBeCloseTo(readFileSync(join(folder, 'loss.f64')).readDoubleLE(0), 5);
      loss.backward();
      const gradients = loadSafetensors(join(folder, 'grads.safetensors')).tensors;
      for (const [name, parameter] of model.namedParameters()) {
        const [got, want] = [parameter.grad, gradients.get(name)];
        if (!got || !want) throw new Error(`${name} has no gradient`);
        expect(difference(got, want), name).toBeLessThan(rounding);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
