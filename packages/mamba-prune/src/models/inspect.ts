// What a model consists of: the width, parameters and multiply-accumulates of every group.
import { sum } from '../statistics.js';
import { familyNamed } from './families.js';
import type { ImageModel } from './image-model.js';
import type { ModelInfo } from './model-file.js';
import type { ModelOptions } from './model-options.js';

export interface GroupSummary {
  readonly name: string;
  readonly kind: string;
  /** Units it has. */
  readonly width: number;
  /** Units it had before it was ever pruned. */
  readonly denseWidth: number;
  /** Cut only when its kind is named. */
  readonly optional: boolean;
  /** Numbers in all parameters that the group's units are part of. */
  readonly parameters: number;
  /** For one image. */
  readonly macs: number;
}

export interface ModelSummary {
  readonly arch: string;
  readonly input: readonly [channels: number, height: number, width: number];
  readonly classes: number;
  /** Of a vision Mamba. */
  readonly scan?: ModelOptions['scan'];
  readonly groups: readonly GroupSummary[];
  /** Everything that belongs to no group: embedding, norms, classifier, some biases. */
  readonly rest: { readonly parameters: number; readonly macs: number };
  readonly parameters: number;
  readonly macs: number;
}

/**
 * Widths, parameters and multiply-accumulates per group and in all. A parameter that several groups
 * share counts for the first.
 * @param info - of the model's file; tells how wide the groups were before pruning
 */
export function inspectModel(model: ImageModel, info?: Pick<ModelInfo, 'history'>): ModelSummary {
  const { arch, channels, imageSize, numClasses } = model.config;
  const sizes = new Map(Array.from(model.namedParameters(), ([name, { numel }]) => [name, numel]));
  const parameters = sum(sizes.values());
  const macs = new Map<string, number>();
  for (const { name, macs: count } of model.macs()) macs.set(name, (macs.get(name) ?? 0) + count);
  const dense = denseWidths(info?.history ?? []);
  const groups = model.pruningGroups().map((group): GroupSummary => {
    const { name, kind, size, members, optional = false } = group;
    let count = 0;
    for (const { parameter } of members) {
      count += sizes.get(parameter) ?? 0;
      sizes.delete(parameter);
    }
    return {
      name,
      kind,
      width: size,
      denseWidth: dense[name] ?? size,
      optional,
      parameters: count,
      macs: macs.get(name) ?? 0,
    };
  });
  const total = sum(macs.values());
  return {
    arch,
    input: [channels, imageSize, imageSize],
    classes: numClasses,
    ...familyNamed(model.config).summary?.(model.config),
    groups,
    rest: { parameters: sum(sizes.values()), macs: total - sum(groups.map((g) => g.macs)) },
    parameters,
    macs: total,
  };
}

/** The widths that the first pruning step of a model's history found. */
function denseWidths(history: ModelInfo['history']): Record<string, number> {
  const result: Record<string, number> = {};
  for (const { widthsBefore } of history) {
    if (typeof widthsBefore !== 'object' || widthsBefore === null) continue;
    for (const [name, width] of Object.entries(widthsBefore)) {
      if (typeof width === 'number') result[name] ??= width;
    }
  }
  return result;
}
