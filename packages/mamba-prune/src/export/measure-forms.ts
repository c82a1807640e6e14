// Accuracies of a model and of what was exported of it, on the same images.
import type { Dataset } from '../data/index.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { releasing } from '../releasing.js';
import { type AccuracyOptions, type MeasuredAccuracy, measureAccuracy } from './accuracy.js';
import { OnnxModel } from './onnx-model.js';
import { ownLogits } from './verify.js';

/**
 * @param forms - ONNX files by their paths, or their bytes
 * @returns of the model itself, then of each form
 * @throws as `measureAccuracy`; FormatError for a form that onnxruntime cannot run
 */
export async function measureForms(
  model: ImageModel,
  info: ModelInfo,
  forms: readonly (string | Uint8Array)[],
  dataset: Dataset,
  options: AccuracyOptions,
): Promise<MeasuredAccuracy[]> {
  return releasing(async (keep) => {
    const opened: OnnxModel[] = [];
    for (const form of forms) {
      const onnx = typeof form === 'string' ? OnnxModel.open(form) : OnnxModel.load(form);
      opened.push(keep(await onnx));
    }
    return measureAccuracy(
      [
        (pixels) => ownLogits(model, info, pixels),
        ...opened.map((onnx) => async (pixels: Uint8Array) => (await onnx.classify(pixels)).logits),
      ],
      dataset,
      options,
    );
  });
}
