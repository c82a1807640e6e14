// Forward passes that show the units of groups, and end where nothing more is to be seen.
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import type { ImageModel, UnitProbe } from '../../models/image-model.js';
import { inEvaluation } from '../calibration.js';
import type { Seen } from './readers.js';

/** Thrown by a probe where the rest of the pass is of no use. */
class Enough extends Error {}

/**
 * Shows the units of `groups` as they pass; the tensors are gone once `look` has returned. The pass ends with the last of
 * them.
 * @throws Error if the model does not show one of them
 */
export function observe(
  model: ImageModel,
  images: Tensor,
  groups: readonly string[],
  look: (group: string, seen: Seen) => void,
): void {
  const left = new Set(groups);
  const streams = new Map<string, Tensor>();
  const probe: UnitProbe = {
    stream(group, x, dim) {
      if (left.has(group)) streams.set(group, rows(x, dim));
    },
    output(group, y, dim) {
      if (!left.delete(group)) return;
      look(group, { units: rows(y, dim), stream: streams.get(group) });
      streams.delete(group);
      if (left.size === 0) throw new Enough();
    },
  };
  try {
    inEvaluation(model, () => noGrad(() => model.forward(images, probe)));
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  const [hidden] = left;
  if (hidden === undefined) return;
  throw new Error(
    `group '${hidden}': the model's forward pass never called the probe's output for it`,
  );
}

/** [positions, features] of a tensor whose features lie along `dim`. */
const rows = (x: Tensor, dim: number): Tensor =>
  x
    .detach()
    .transpose(dim, x.ndim - 1)
    .reshape(-1, x.size(dim));
