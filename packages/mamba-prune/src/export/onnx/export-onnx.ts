// A model into an ONNX file that has been seen to work.
import { writeFileAtomic } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { type BuildOptions, buildOnnxModel } from './build-model.js';
import { checkModel } from './check-model.js';
import { encodeModel } from './proto.js';
import { type Verification, ownLogits, syntheticImages, verifyOnnx } from './verify.js';

export interface OnnxExportOptions extends BuildOptions {
  /** To compare the file with the model: uint8 [n, channels, height, width]; made up unless given. */
  readonly images?: Uint8Array;
  /** Whether the file is run and compared with the model, for which onnxruntime-node is needed; true unless given. */
  readonly verify?: boolean;
}

export interface OnnxExport {
  readonly fileBytes: number;
  /** How far the file's logits are from the model's; undefined if it was not verified. */
  readonly verification: Verification | undefined;
}

const syntheticCount = 4;

/**
 * Writes a model as ONNX, atomically, after onnxruntime has computed the same logits with it.
 * @throws VerificationError if they differ: then there is no file; UsageError if onnxruntime-node is missing
 */
export async function exportOnnx(
  path: string,
  model: ImageModel,
  info: ModelInfo,
  options: OnnxExportOptions = {},
): Promise<OnnxExport> {
  const proto = buildOnnxModel(model, info, options);
  checkModel(proto);
  const bytes = encodeModel(proto);
  const { verify = true, images = syntheticImages(syntheticCount, model.config) } = options;
  const verification = verify
    ? await verifyOnnx(bytes, ownLogits(model, info, images), images)
    : undefined;
  writeFileAtomic(path, bytes);
  return { fileBytes: bytes.length, verification };
}
