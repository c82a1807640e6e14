// Models as a browser runs them: ONNX, with a few test images to try.
import { join } from 'node:path';
import { type ModelInfo, loadModel } from 'mamba-prune';
import { buildOnnxModel, encodeModel } from 'mamba-prune/onnx';
import { openDataFor, withModelInfo } from 'mamba-prune/internal';
import { preprocessingOf } from 'mamba-prune/preparation';
import { chooseImages } from '../images/classify.js';
import { type ImageSource, dataFolderOf } from '../images/open-images.js';
import { thumbnail } from '../images/thumbnail.js';
import type { RunData } from '../page-data/run.js';
import type { TryOutModel, TryOutSample } from '../page-data/try-out.js';

/** A few of every class, more than fit one row. */
const sampleCount = 30;

const modelFile = ({ path, file }: Pick<RunData, 'path' | 'file'>): string =>
  file ?? join(path, 'model.safetensors');

/** Whether a run has a model to try. */
export const canTry = ({ size, state }: RunData): boolean =>
  size?.bytes != null && state === 'finished';

/**
 * The model of a run as an ONNX file. On the CPU the scan is a loop, which onnxruntime-web computes 1.5
 * times as fast as the one operator that WebGPU needs (mamba_tiny, one image).
 * @throws FormatError if the file is damaged
 */
export function onnxOf(
  run: Pick<RunData, 'path' | 'file'>,
  target: 'cpu' | 'webgpu' = 'cpu',
): Uint8Array {
  const { model, info } = loadModel(modelFile(run));
  const scanOp = target === 'webgpu' ? 'linear-attention' : 'scan-adaptive';
  try {
    return encodeModel(buildOnnxModel(model, info, { scanOp }));
  } finally {
    model.dispose();
  }
}

/** @param source - of test images, in place of the run's own */
export async function tryOutModel(run: RunData, source: ImageSource): Promise<TryOutModel> {
  const { model, info } = loadModel(modelFile(run));
  const { config } = model;
  model.dispose();
  const { channels, imageSize: side } = config;
  return {
    run: run.id,
    classes: info.classes,
    channels,
    side,
    preprocessing: preprocessingOf(info, side),
    samples: await samplesOf(run, { config }, info, source),
  };
}

async function samplesOf(
  run: RunData,
  model: Parameters<typeof openDataFor>[0],
  info: ModelInfo,
  source: ImageSource,
): Promise<TryOutSample[]> {
  const name = source.dataset ?? run.dataset?.name;
  if (name === undefined) return [];
  try {
    const settings = { dataset: name, data: source.data ?? dataFolderOf(run, name) };
    const dataset = withModelInfo(await openDataFor(model, settings), info);
    const split = chooseImages(dataset, sampleCount);
    return await Promise.all(
      Array.from({ length: Math.min(sampleCount, split.length) }, async (_, index) => ({
        label: split.label(index),
        image: await thumbnail(split, index, dataset.info, model.config.imageSize),
      })),
    );
  } catch {
    // The images may be on another machine; one's own can be dropped onto the page.
    return [];
  }
}
