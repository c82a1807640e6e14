import { Random, Stage } from '../data/random.js';
import { OnnxModel, type OnnxPrecision } from '../export/onnx-model.js';
import type { Provider } from '../export/runtime.js';
import type { ForeignModel } from './bench.js';

export interface OnnxCandidate extends ForeignModel {
  readonly inputShape: readonly number[];
  readonly parameters: number;
  readonly precision: OnnxPrecision;
  release(): Promise<void>;
}

/**
 * An ONNX file as `benchmarkModels` takes it. Its time includes the normalisation, which is part of the
 * graph, and softmax.
 * @param threads - as many as the other models have
 * @throws FormatError if the file is no model of ours, or the provider cannot run it
 */
export async function benchOnnx(
  name: string,
  path: string,
  threads: number,
  provider: Provider = 'cpu',
): Promise<OnnxCandidate> {
  const onnx = await OnnxModel.open(path, { threads, provider });
  const { inputShape, parameters, precision } = onnx;
  return {
    name,
    runtime: `onnxruntime ${provider}`,
    inputShape,
    parameters,
    precision,
    prepare: (batch, seed) => {
      const random = new Random().seed(seed, Stage.split);
      const size = inputShape.reduce((product, side) => product * side, batch);
      return onnx.prepare(Uint8Array.from({ length: size }, () => random.between(0, 256)));
    },
    release: () => onnx.release(),
  };
}
