// That onnxruntime computes an RMSNorm by one operator: else each is five passes over the tokens.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { buildOnnxModel } from '../../export/build-model.js';
import { encodeModel } from '../../onnx/proto.js';
import { createModel } from '../registry.js';

const folder = mkdtempSync(join(tmpdir(), 'rms-norm-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info = { classes: [], mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], history: [] };

describe('the RMSNorm of a graph', () => {
  it.each(['float32', 'float16'] as const)(
    'is one operator of onnxruntime in %s, in each layer and before the classifier',
    async (dtype) => {
      const sizes = { dModel: 16, depth: 2, imageSize: 16, patchSize: 8 };
      const model = createModel('vim_nano', sizes).eval();
      const bytes = encodeModel(buildOnnxModel(model, info, { dtype }));
      const optimised = join(folder, `${dtype}.onnx`);
      await ort.InferenceSession.create(bytes, {
        graphOptimizationLevel: 'all',
        optimizedModelFilePath: optimised,
        logSeverityLevel: 3,
      });
      const text = readFileSync(optimised, 'latin1');
      expect(text.match(/SimplifiedLayerNormalization/g)).toHaveLength(sizes.depth + 1);
    },
  );
});
