// The model: an ONNX file that `mamba-prune export` wrote, run by onnxruntime.
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import protobuf from 'protobufjs';
import {
  type Preprocessing,
  interpolations,
  leastCropShare,
  preprocessingOf,
} from 'mamba-prune/preparation';
import { z } from 'zod';
import type { ImageShape } from './decode.js';

export interface ModelDescription {
  readonly arch: string;
  readonly dataset?: string | undefined;
}

export interface Classifier {
  /** Of one image. */
  readonly shape: ImageShape;
  /** How the model's file says that images are made so. */
  readonly preprocessing: Preprocessing;
  readonly classes: readonly string[];
  readonly description: ModelDescription;
  /**
   * @param images - planar, 0 to 255, one array of `shape` each
   * @returns the probabilities of each image's classes
   */
  run(images: readonly Uint8Array[]): Promise<Float32Array[]>;
  release(): Promise<void>;
}

/** Of ONNX's ModelProto only what onnxruntime-node does not tell; protobuf skips the rest. */
const { root } = protobuf.parse(
  `syntax = "proto3";
  message Entry { string key = 1; string value = 2; }
  message ModelProto { repeated Entry metadata_props = 14; }`,
  { keepCase: true },
);
const modelProto = root.lookupType('ModelProto');

const descriptionSchema = z.object({
  dataset: z.string().optional(),
  preprocessing: z
    .object({
      interpolation: z.enum(interpolations),
      cropShare: z.number().gte(leastCropShare).lte(1),
    })
    .optional(),
  model: z.looseObject({ arch: z.string() }),
});

/**
 * Loads a model and runs it once.
 * @param threads - of one inference
 * @throws Error if it is no ONNX file of mamba-prune with uint8 images as input
 */
export async function openClassifier(path: string, threads: number): Promise<Classifier> {
  const bytes = await readFile(path);
  const metadata = metadataOf(bytes, path);
  const { model, ...info } = descriptionSchema.parse(parse(metadata, 'mamba_prune', path));
  const classes = z.array(z.string()).parse(parse(metadata, 'classes', path));
  const session = await InferenceSession.create(bytes, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3, // Errors only: it warns of its own optimisations.
  });
  const shape = shapeOf(session, path);
  const size = shape[0] * shape[1] * shape[2];
  const classifier: Classifier = {
    shape,
    preprocessing: preprocessingOf(info, shape[1]),
    classes,
    description: { arch: model.arch, dataset: info.dataset },
    async run(images) {
      const data = new Uint8Array(images.length * size);
      images.forEach((image, i) => {
        data.set(image, i * size);
      });
      const input = new Tensor('uint8', data, [images.length, ...shape]);
      const { probabilities } = await session.run({ images: input }, ['probabilities']);
      const values = probabilities?.data as Float32Array;
      // Not as many as there are names: a model from another program may have none.
      const count = values.length / images.length;
      return images.map((_, i) => values.slice(i * count, (i + 1) * count));
    },
    release: () => session.release(),
  };
  // The first inference is slow; and better an error now than at the first request.
  await classifier.run([new Uint8Array(size)]);
  return classifier;
}

function metadataOf(bytes: Buffer, path: string): Map<string, string> {
  try {
    const { metadata_props: props } = modelProto.decode(bytes) as unknown as {
      metadata_props: readonly { readonly key: string; readonly value: string }[];
    };
    return new Map(props.map(({ key, value }) => [key, value]));
  } catch (error) {
    throw new Error(`${path} is no ONNX file: ${(error as Error).message}`, { cause: error });
  }
}

function parse(metadata: ReadonlyMap<string, string>, key: string, path: string): unknown {
  const text = metadata.get(key);
  if (text !== undefined) return JSON.parse(text);
  throw new Error(`${path} has no metadata '${key}', expected a file of mamba-prune export.`);
}

function shapeOf(session: InferenceSession, path: string): ImageShape {
  const input = session.inputMetadata.find(({ name }) => name === 'images');
  if (input?.isTensor === true && input.type === 'uint8') {
    const [channels, height, width] = input.shape.slice(1);
    if (typeof channels === 'number' && typeof height === 'number' && typeof width === 'number') {
      return [channels, height, width];
    }
  }
  throw new Error(
    `${path} has no input 'images' of uint8, expected a file of mamba-prune export with its default --input.`,
  );
}
