// A model file in ONNX form, ready to classify images.
import { FormatError } from '@mamba-prune/libtorch';
import { readRegularFile } from '@mamba-prune/libtorch/files';
import type { InferenceSession } from 'onnxruntime-common';
import {
  type ModelDescription,
  checkDescription,
  metadataKey,
  parseMetadata,
} from '../models/model-file.js';
import type { InputType } from '../onnx/choices.js';
import { tensorNames } from './build-model.js';
import { feedOf, inputName, inputTypeOf } from './graph-input.js';
import { type ModelProto, elementTypes } from '../onnx/messages.js';
import { decodeModel } from '../onnx/proto.js';
import { type SessionOptions, createSession, loadRuntime } from './runtime.js';

/**
 * What a file's graph computes in: `int8` if its products are of 8-bit integers. Weights that are only kept in 8 bits
 * become floats before they are used.
 */
export type OnnxPrecision = 'fp32' | 'fp16' | 'int8';

export interface OnnxResult {
  /** [batch, classes] */
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
}

/** One of our own ONNX files, loaded by onnxruntime. `release()` frees it. */
export class OnnxModel {
  readonly #session: InferenceSession;

  /** What the file says of the model; the same as in a .safetensors. */
  readonly description: ModelDescription;
  readonly input: InputType;
  /** Numbers in all weights. */
  readonly parameters: number;
  readonly precision: OnnxPrecision;

  private constructor(
    session: InferenceSession,
    description: ModelDescription,
    input: InputType,
    proto: ModelProto,
  ) {
    this.description = description;
    this.input = input;
    this.parameters = countNumbers(proto);
    this.precision = precisionOf(proto);
    this.#session = session;
  }

  /**
   * @param bytes - the file
   * @param where - what errors call it
   * @throws FormatError if it is no ONNX model, none of ours, or one that onnxruntime cannot run
   */
  static async load(
    bytes: Uint8Array,
    options: SessionOptions = {},
    where = 'ONNX',
  ): Promise<OnnxModel> {
    const proto = decodeModel(bytes, where);
    const { value: text } = proto.metadata_props.find(({ key }) => key === metadataKey) ?? {};
    if (text === undefined) {
      throw new FormatError(
        `${where}: got an ONNX file without the metadata '${metadataKey}', expected one written by mamba-prune export.`,
      );
    }
    const description = parseMetadata(where, text);
    const input = inputTypeOf(proto, where);
    return new OnnxModel(await createSession(bytes, options, where), description, input, proto);
  }

  /** As `load`, of a file, whose weights have to be numbers. */
  static async open(path: string, options: SessionOptions = {}): Promise<OnnxModel> {
    const bytes = readRegularFile(path);
    checkFinite(decodeModel(bytes, path), path);
    const onnx = await OnnxModel.load(bytes, options, path);
    try {
      checkDescription(path, onnx.description);
    } catch (error) {
      await onnx.release();
      throw error;
    }
    return onnx;
  }

  /** Shape of one image: [channels, height, width]. */
  get inputShape(): readonly [number, number, number] {
    const { channels, imageSize } = this.description.model;
    return [channels, imageSize, imageSize];
  }

  /** @param pixels - planar, 0 to 255, [batch, channels, height, width] */
  async classify(pixels: Uint8Array): Promise<OnnxResult> {
    const run = await this.prepare(pixels);
    return run();
  }

  /** As classify, with the input made ready first, so that the call alone can be timed. */
  async prepare(pixels: Uint8Array): Promise<() => Promise<OnnxResult>> {
    const { Tensor } = await loadRuntime();
    const { data, dims } = feedOf(this.input, pixels, this.description.model, this.description);
    const images =
      data instanceof Uint8Array
        ? new Tensor('uint8', data, dims)
        : new Tensor('float32', data, dims);
    return async () => {
      const outputs = await this.#session.run({ [inputName(this.input)]: images });
      const of = (name: string): Float32Array => outputs[name]?.data as Float32Array;
      return { logits: of(tensorNames.logits), probabilities: of(tensorNames.probabilities) };
    };
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** @throws FormatError naming the first tensor with a value that is NaN or infinite */
function checkFinite({ graph }: ModelProto, where: string): void {
  for (const { name, data_type: type, raw_data: raw } of graph.initializer) {
    // All ones where the exponent is, by which both types tell such values.
    const [size, ones] =
      type === elementTypes.float32
        ? [4, 0x7f800000]
        : type === elementTypes.float16
          ? [2, 0x7c00]
          : [0, 0];
    if (size === 0) continue;
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const values = Math.floor(raw.byteLength / size);
    let count = 0;
    for (let at = 0; at < values * size; at += size) {
      const bits = size === 4 ? view.getUint32(at, true) : view.getUint16(at, true);
      if ((bits & ones) === ones) count++;
    }
    if (count === 0) continue;
    throw new FormatError(
      `${where}: got weights that are NaN or infinite: ${name} (${count} of ${values} values), expected numbers. ` +
        'Export the model again from one whose weights are whole.',
    );
  }
}

function precisionOf({ graph }: ModelProto): OnnxPrecision {
  if (graph.node.some(({ op_type: operator }) => operator === 'MatMulInteger')) return 'int8';
  const isHalf = graph.initializer.some(({ data_type: type }) => type === elementTypes.float16);
  return isHalf ? 'fp16' : 'fp32';
}

/** int64 tensors are shapes and axes, not weights. */
function countNumbers({ graph }: ModelProto): number {
  return graph.initializer
    .filter(({ data_type: type }) => type !== elementTypes.int64)
    .reduce((sum, { dims }) => sum + dims.reduce((product, dim) => product * dim, 1), 0);
}
