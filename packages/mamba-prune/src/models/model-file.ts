// A model file: one .safetensors whose metadata key `mamba_prune` says how to build the model.
import { FormatError, loadSafetensors, saveSafetensors } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import type { ImageModel } from './image-model.js';
import { createModelFromConfig } from './registry.js';

export const metadataKey = 'mamba_prune';

const modelInfoSchema = z.object({
  /** What was trained on. */
  dataset: z.string().optional(),
  /** Names of the classes, in the order of the logits. */
  classes: z.array(z.string()),
  /** Per channel, of pixel values scaled to [0, 1]. */
  mean: z.array(z.number()),
  std: z.array(z.number()),
  /** How the model was made: one entry per step, the first is the training. */
  history: z.array(z.record(z.string(), z.unknown())),
});

/** What a model file holds beside the weights. */
export type ModelInfo = z.infer<typeof modelInfoSchema>;

const metadataSchema = modelInfoSchema.extend({
  format: z.literal(1),
  model: z.looseObject({
    family: z.string(),
    arch: z.string(),
    imageSize: z.int().positive(),
    channels: z.int().positive(),
    numClasses: z.int().positive(),
  }),
});

/** What a file says of its model: its configuration, and what ModelInfo has. */
export type ModelDescription = z.infer<typeof metadataSchema>;

/**
 * The description of a model that files have under `metadataKey`, as JSON.
 * @throws UsageError for a description that no file could be read with
 */
export function modelMetadata(model: ImageModel, info: ModelInfo): string {
  const metadata = { format: 1, model: model.config, ...info };
  const parsed = metadataSchema.safeParse(metadata);
  if (!parsed.success) {
    throw new UsageError(
      `saveModel: the model's information is not complete:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return JSON.stringify(metadata);
}

/**
 * Writes a model atomically.
 * @throws UsageError for information that is not complete, Error if the folder cannot be written
 */
export function saveModel(path: string, model: ImageModel, info: ModelInfo): void {
  saveSafetensors(path, model.stateDict(), { [metadataKey]: modelMetadata(model, info) });
}

/**
 * Reads a model file; the model is in evaluation mode.
 * @throws FormatError if it is no safetensors file, or one of another program, or its weights do not
 *   fit its description
 */
export function loadModel(path: string): { model: ImageModel; info: ModelInfo } {
  const { tensors, metadata } = loadSafetensors(path);
  try {
    const text = metadata[metadataKey];
    if (text === undefined) {
      throw new FormatError(
        `${path}: got a safetensors file without the metadata key '${metadataKey}', expected a model written by mamba-prune.`,
      );
    }
    const { model: config, ...info } = parseMetadata(path, text);
    const model = createModelFromConfig(config);
    model.loadStateDict(tensors);
    model.eval();
    return { model, info: modelInfoSchema.parse(info) };
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

/** @throws FormatError if the text does not describe a model */
export function parseMetadata(path: string, text: string): ModelDescription {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FormatError(
      `${path}: the metadata key '${metadataKey}' is no JSON: ${(error as Error).message}`,
    );
  }
  const parsed = metadataSchema.safeParse(json);
  if (!parsed.success) {
    throw new FormatError(
      `${path}: the metadata key '${metadataKey}' does not describe a model:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return parsed.data;
}
