// What a model of other widths costs, counted without making it where its family tells.
import { safetensorsBytes, safetensorsDTypes } from '@mamba-prune/libtorch/files';
import { countParameters } from './shapes.js';
import { familyNamed, moduleOf } from './families.js';
import type { ModelShapes } from './family.js';
import type { ImageModel, ModelConfigBase } from './image-model.js';
import { type ModelInfo, metadataKey, modelMetadata } from './model-file.js';

/** Units by the names of groups; a group that is not named has those of the model. */
export type Widths = Readonly<Record<string, number>>;

export interface WidthCosts {
  /** Multiply-accumulates of one image. */
  readonly macs: (widths: Widths) => number;
  /** Numbers in all parameters. */
  readonly parameters: (widths: Widths) => number;
  /** Bytes of the model's file. @param info - what the file says beside the weights */
  readonly fileBytes: (widths: Widths, info: ModelInfo) => number;
}

/**
 * Counts what models of the same architecture and of any widths cost, exactly: from shapes alone for families that
 * tell `macs` and `shapes`; else such a model is made and counted.
 * @param model - not used after this returns
 */
export function widthCosts(model: ImageModel): WidthCosts {
  const { config } = model;
  const family = familyNamed(config);
  const types = Array.from(model.stateDict(), ([name, { dtype }]) => ({ name, dtype }));
  const configAt = (widths: Widths): ModelConfigBase => ({
    ...config,
    widths: { ...config.widths, ...widths },
  });
  const made = <T>(widths: Widths, count: (model: ImageModel) => T): T => {
    const other = model.withWidths(widths);
    try {
      return count(other);
    } finally {
      other.dispose();
    }
  };
  const shapesAt = (widths: Widths): ModelShapes =>
    family.shapes
      ? family.shapes(configAt(widths))
      : made(
          widths,
          (other) => new Map(Array.from(other.stateDict(), ([name, { shape }]) => [name, shape])),
        );
  return {
    macs: (widths) =>
      family.macs
        ? family.macs(configAt(widths))
        : made(widths, (other) => other.macs().reduce((sum, entry) => sum + entry.macs, 0)),
    parameters: (widths) =>
      family.shapes
        ? countParameters(shapesAt(widths))
        : made(widths, (other) => other.numParameters()),
    fileBytes: (widths, info) => {
      const at = shapesAt(widths);
      const entries = types.map(({ name, dtype }) => ({
        name,
        dtype: safetensorsDTypes[dtype],
        shape: at.get(name) ?? [],
      }));
      const metadata = modelMetadata({ config: configAt(widths) }, info, moduleOf(config.family));
      return safetensorsBytes(entries, { [metadataKey]: metadata });
    },
  };
}
