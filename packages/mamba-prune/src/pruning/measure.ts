// What a loss and real images say about units: gradients of weights, outputs, gradients of gates.
import {
  F,
  type Tensor,
  enableGrad,
  fromTypedArray,
  grad,
  noGrad,
  scope,
  zeros,
  zerosLike,
} from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import type { ImageModel, UnitProbe } from '../models/image-model.js';
import { type Calibration, averageOverBatches, free } from './calibration.js';
import type { KeptUnits, PruningGroup } from '../models/groups.js';

/**
 * Gradient of the mean cross-entropy over all images, by each of the named parameters. Their `.grad`
 * is left alone.
 * @returns float64, shaped like the parameters; the caller disposes them
 */
export function meanGradients(
  model: ImageModel,
  names: readonly string[],
  calibration: Calibration,
): Promise<Map<string, Tensor>> {
  const all = model.namedParameters();
  const parameters = names.map((name) => all.get(name) as Tensor);
  return averageOverBatches(model, calibration, ({ images, labels }) =>
    withGradients(parameters, () => {
      const loss = F.crossEntropy(model.forward(images), labels);
      const gradients = grad([loss], parameters);
      return new Map(
        names.map((name, i) => [name, gradients[i] ?? zerosLike(parameters[i] as Tensor)]),
      );
    }),
  );
}

/**
 * Mean square of the gradient of the cross-entropy, by each of the named parameters: of the mean loss of each batch,
 * counted by its images, or of the loss of each image. Their `.grad` is left alone.
 * @returns float64, shaped like the parameters; the caller disposes them
 */
export function meanSquaredGradients(
  model: ImageModel,
  names: readonly string[],
  calibration: Calibration,
  of: 'batch' | 'image',
): Promise<Map<string, Tensor>> {
  const all = model.namedParameters();
  const parameters = names.map((name) => all.get(name) as Tensor);
  return averageOverBatches(model, calibration, ({ images, labels }) =>
    withGradients(parameters, () => {
      const count = images.size(0);
      const size = of === 'batch' ? count : 1;
      if (labels.size(0) !== count) {
        throw new UsageError(
          `calibration: got ${labels.size(0)} labels for ${count} images, expected one for each.`,
        );
      }
      const sums = parameters.map(({ shape, device }) =>
        zeros(shape, { dtype: 'float64', device }),
      );
      for (let from = 0; from < count; from += size) {
        scope(() => {
          const logits = model.forward(images.narrow(0, from, size));
          const loss = F.crossEntropy(logits, labels.narrow(0, from, size));
          const gradients = grad([loss], parameters);
          noGrad(() => {
            // A parameter that the loss does not hear of has no gradient, and adds nothing.
            gradients.forEach((gradient, i) => {
              if (gradient) sums[i]?.add_(gradient.to('float64').square());
            });
          });
        });
      }
      return new Map(names.map((name, i) => [name, (sums[i] as Tensor).mul(size / count)]));
    }),
  );
}

/**
 * Mean absolute output of every unit over all images, positions and the unit's own dimensions, where
 * `UnitProbe.output` shows it.
 * @returns per group name, one value per unit
 */
export async function meanOutputs(
  model: ImageModel,
  groups: readonly PruningGroup[],
  calibration: Calibration,
): Promise<Map<string, Float64Array>> {
  const means = await averageOverBatches(model, calibration, ({ images }) => {
    const { device } = images;
    // Made out here: what the probe makes belongs to a layer's scope, and goes with it.
    const outputs = new Map(
      groups.map(({ name, size }) => [name, zeros([size], { dtype: 'float64', device })]),
    );
    const shown = new Set<string>();
    const probe: UnitProbe = {
      output(name, y, dim) {
        const output = outputs.get(name);
        if (!output) return;
        const values = y.abs().to('float64').transpose(0, dim).reshape(output.size(0), -1);
        output.add_(values.mean(1));
        shown.add(name);
      },
    };
    noGrad(() => model.forward(images, probe));
    for (const { name } of groups) if (!shown.has(name)) throw hiddenUnits(name, 'output');
    return outputs;
  });
  return toArrays(means);
}

/**
 * |dL/dg| of a gate g on every unit, at g = 1 for the units kept and g = 0 for the others; L is the
 * mean cross-entropy over all images. For a removed unit that is how much its first small return
 * would change the loss, given what was kept.
 * @param groups - whose units the model shows to `UnitProbe.gate`
 * @param kept - groups that are not named stay whole
 * @returns per group name, one value per unit, kept or not
 */
export async function gateGradients(
  model: ImageModel,
  groups: readonly PruningGroup[],
  kept: KeptUnits,
  calibration: Calibration,
): Promise<Map<string, Float64Array>> {
  const means = await averageOverBatches(model, calibration, ({ images, labels }) =>
    enableGrad(() => {
      const gates = new Map(
        groups.map((group) => [group.name, gateOf(group, kept.get(group.name), images.device)]),
      );
      const probe: UnitProbe = {
        gate(name, x, dim) {
          const gate = gates.get(name);
          return gate ? x.mul(spread(gate, x, dim)) : x;
        },
      };
      const loss = F.crossEntropy(model.forward(images, probe), labels);
      const gradients = grad([loss], [...gates.values()]);
      return new Map(
        Array.from(gates.keys(), (name, i) => {
          const gradient = gradients[i];
          if (!gradient) throw hiddenUnits(name, 'gate');
          return [name, gradient];
        }),
      );
    }),
  );
  return new Map(Array.from(toArrays(means), ([name, mean]) => [name, mean.map(Math.abs)]));
}

/** A model that marks a member `consumer` must show the group to probes: a mistake in the model. */
const hiddenUnits = (group: string, what: keyof UnitProbe): Error =>
  new Error(`group '${group}': the model's forward pass never called the probe's ${what} for it`);

/** Runs `body` with gradients on for the parameters, frozen ones too. */
function withGradients<T>(parameters: readonly Tensor[], body: () => T): T {
  const frozen = parameters.filter(({ requiresGrad }) => !requiresGrad);
  for (const parameter of frozen) parameter.requiresGrad = true;
  try {
    return enableGrad(body);
  } finally {
    for (const parameter of frozen) parameter.requiresGrad = false;
  }
}

function gateOf(group: PruningGroup, kept: readonly number[] | undefined, device: string): Tensor {
  const values = new Float32Array(group.size).fill(kept ? 0 : 1);
  for (const unit of kept ?? []) values[unit] = 1;
  return fromTypedArray(values, [group.size], { device, requiresGrad: true });
}

/** One value per unit, [units], as factors along axis `dim` of x. */
function spread(gate: Tensor, x: Tensor, dim: number): Tensor {
  const units = gate.size(0);
  const length = x.size(dim);
  const shape = x.shape.map((_, axis) => (axis === dim ? length : 1));
  const repeated = gate.unsqueeze(1).expand(units, length / units);
  return repeated.reshape(...shape).to(x.dtype);
}

function toArrays(means: ReadonlyMap<string, Tensor>): Map<string, Float64Array> {
  try {
    return new Map(
      Array.from(means, ([name, mean]) => [name, mean.toTypedArray() as Float64Array]),
    );
  } finally {
    free(means);
  }
}
