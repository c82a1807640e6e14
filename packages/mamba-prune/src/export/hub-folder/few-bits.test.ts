// A folder for the hub of a model that does not bear int8: it has the other files.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, manualSeed, noGrad } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from '../../cli/testing/run-cli.js';
import { saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';

const folder = mkdtempSync(join(tmpdir(), 'few-bits-'));
const at = (...names: string[]): string => join(folder, ...names);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info = { classes: ['a', 'b'], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], history: [] };
const quantized = 'onnx/model_quantized.onnx';

/** @param unborne - one weight of an MLP's rows is so large that int8 makes all others 0, and what it multiplies is 0 */
function write(path: string, unborne: boolean): void {
  manualSeed(2);
  const sizes = { baseWidth: 8, blocks: [1, 1], imageSize: 16, numClasses: 2 };
  const model = createModel('vmamba_nano', sizes);
  if (unborne) {
    const of = (name: string): Tensor =>
      (model.stateDict().get(`layers.1.blocks.0.mlp.${name}`) as Tensor).detach();
    noGrad(() => {
      of('fc1.weight').mul_(10).narrow(0, 0, 1).zero_();
      of('fc1.bias').narrow(0, 0, 1).zero_();
      of('fc2.weight').mul_(100).narrow(1, 0, 1).fill_(1e4);
    });
  }
  saveModel(path, model, info);
  model.dispose();
}

describe('export --format hf', () => {
  it('leaves out the file whose bits are too few for the model, and one of an earlier model, and says so', async () => {
    write(at('good.safetensors'), false);
    write(at('bad.safetensors'), true);
    const to = ['--format', 'hf', '--license', 'mit', '--out', at('hub')];
    const good = await runCli(['export', at('good.safetensors'), ...to]);
    expect(good.status, good.stderr).toBe(0);
    expect(existsSync(at('hub', quantized))).toBe(true);

    const bad = await runCli(['export', at('bad.safetensors'), ...to, '--overwrite', '--json']);
    expect(bad.status, bad.stderr).toBe(0);
    expect(bad.stderr.replaceAll(/\s+/g, ' ')).toContain(
      `${quantized} (q8) was left out: its logits differ from the model's by more than 10% of the largest, so that the model does not bear so few bits.`,
    );
    expect(JSON.parse(bad.stdout)).toMatchObject({
      forms: [{ dtype: 'fp32' }, { dtype: 'fp16' }],
      leftOut: [{ file: quantized, dtype: 'q8', precision: 'int8', tolerance: 0.1 }],
    });
    expect(existsSync(at('hub', quantized))).toBe(false);
    expect(readFileSync(at('hub', 'README.md'), 'utf8')).not.toContain(quantized);
  });
});
