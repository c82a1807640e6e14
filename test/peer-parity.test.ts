// A whole model against the yardstick in PyTorch: the same weights must give the same logits, loss and
// gradients. A stored case of a small width runs without Python (packages/mamba-prune/src/models/mamba/model.test.ts).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { F, type Tensor, loadSafetensors, tensor } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { expect, it } from 'vitest';
import { pythonWith, unlessPython } from './support/python.js';

const script = fileURLToPath(new URL('../benchmarks/peers/torch_mamba.py', import.meta.url));
const needed = 'torch, numpy';
const python = pythonWith(needed);

// Twelve blocks in float32: a rounding is 6e-8, and each block adds a few hundred in another order
// than PyTorch's. Measured 1e-6; a wrong formula would be off by far more than 2e-5.
const rounding = 2e-5;

function difference(a: Tensor, b: Tensor): number {
  const wide = b.detach().to('float64');
  return a.detach().to('float64').sub(wide).norm().item() / wide.norm().item();
}

it.skipIf(python === undefined)(
  `mamba_tiny gives PyTorch's logits, loss and gradients${unlessPython(python, needed)}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'peer-parity-'));
    try {
      const file = join(folder, 'case.safetensors');
      execFileSync(python ?? '', [script, 'golden', file, '--arch', 'mamba_tiny'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const { tensors } = loadSafetensors(file);
      const of = (name: string): Tensor => {
        const found = tensors.get(name);
        if (found === undefined) throw new Error(`${name} is missing in what ${script} wrote`);
        return found;
      };
      const under = (prefix: string): Map<string, Tensor> =>
        new Map(
          [...tensors]
            .filter(([name]) => name.startsWith(prefix))
            .map(([name, value]) => [name.slice(prefix.length), value]),
        );
      const model = createModel('mamba_tiny');
      model.loadStateDict(under('weight.'));
      const logits = model.forward(of('input'));
      expect(difference(logits, of('logits'))).toBeLessThan(rounding);
      const loss = F.crossEntropy(logits, tensor([0, 3, 4], { dtype: 'int64' }));
      expect(loss.item()).toBeCloseTo(of('loss').item(), 5);
      loss.backward();
      const gradients = under('grad.');
      const parameters = [...model.namedParameters()];
      expect([...gradients.keys()].sort()).toEqual(parameters.map(([name]) => name).sort());
      for (const [name, { grad }] of parameters) {
        if (grad === null) throw new Error(`${name} has no gradient`);
        expect(difference(grad, of(`grad.${name}`)), name).toBeLessThan(rounding);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
