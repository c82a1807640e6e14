// A model into an ONNX file that has been seen to work.
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { type OptionKinds, checkOptions, requirePath } from '../option-checks.js';
import { type BuildOptions, buildKinds, buildOnnxModel } from './build-model.js';
import { checkModel } from '../onnx/check-model.js';
import { encodeModel } from '../onnx/proto.js';
import { isRounded } from './tolerance.js';
import { type Verification, ownLogits, syntheticImages, verifyOnnx } from './verify.js';

export interface OnnxExportOptions extends BuildOptions {
  /** To compare the file with the model: uint8 [n, channels, height, width]. By default made up. */
  readonly images?: Uint8Array;
  /** Whether the file is run and compared with the model, for which onnxruntime-node is needed. Default `true`. */
  readonly verify?: boolean;
}

const exportKinds: OptionKinds<OnnxExportOptions> = {
  images: 'any',
  verify: 'boolean',
  ...buildKinds,
};

export interface OnnxExport {
  readonly fileBytes: number;
  /** How far the file's logits are from the model's; undefined if it was not verified. */
  readonly verification: Verification | undefined;
}

const syntheticCount = 4;

/**
 * Writes a model as ONNX, atomically, after onnxruntime has computed the same logits with it. In fewer bits
 * the graph is first verified in float32, then with the rounding.
 * @throws VerificationError if they differ: then there is no file; UsageError if onnxruntime-node
 *   is missing, or the information is not that of the model
 */
export async function exportOnnx(
  path: string,
  model: ImageModel,
  info: ModelInfo,
  options: OnnxExportOptions = {},
): Promise<OnnxExport> {
  requirePath('exportOnnx', path, 'the file to write');
  checkOptions('exportOnnx', options, exportKinds);
  const { verify = true, images: given, ...build } = options;
  const bytes = encoded(model, info, build);
  const images = given ?? syntheticImages(syntheticCount, model.config);
  let verification: Verification | undefined;
  if (verify) {
    const expected = ownLogits(model, info, images);
    if (isRounded(build)) {
      const exact = encoded(model, info, inFloat32(build));
      await verifyOnnx(exact, expected, images);
    }
    verification = await verifyOnnx(bytes, expected, images, build);
  }
  writeFileAtomic(path, bytes);
  return { fileBytes: bytes.length, verification };
}

/** The same graph without any rounding. */
export function inFloat32({ input, scanOp }: BuildOptions): BuildOptions {
  return { ...(input && { input }), ...(scanOp && { scanOp }) };
}

function encoded(model: ImageModel, info: ModelInfo, options: BuildOptions): Uint8Array {
  const proto = buildOnnxModel(model, info, options);
  checkModel(proto);
  return encodeModel(proto);
}
