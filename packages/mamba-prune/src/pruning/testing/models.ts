// Small models and data for the tests of pruning.
import { type Tensor, manualSeed, nn, noGrad, randn, scope, tensor } from '@mamba-prune/libtorch';
import {
  type ImageModel,
  type MacsEntry,
  type ModelConfigBase,
  type UnitProbe,
  probeOf,
} from '../../models/image-model.js';
import type { ModelOptions } from '../../models/model-options.js';
import { createModel } from '../../models/registry.js';
import type { Calibration } from '../calibration.js';
import type { PruningGroup } from '../../models/groups.js';

/** d_inner 32, 64 neurons, 4 states, rank 1 (d_model 16 / 16) in each of two blocks; 9 patches. */
export const smallSizes = {
  dModel: 16,
  depth: 2,
  dState: 4,
  numClasses: 5,
  imageSize: 12,
} as const satisfies ModelOptions;

/** A vision Mamba in evaluation mode whose biases and skips are none of the initial zeros and ones. */
export function smallMamba(options: ModelOptions = {}, seed = 0): ImageModel {
  manualSeed(seed);
  const model = createModel('mamba_tiny', { ...smallSizes, ...options });
  model.eval();
  // A trained model has values of every size; the initial ones hide mistakes.
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
  });
  return model;
}

/** A parameter or buffer by name. */
export function weightOf(model: ImageModel, name: string): Tensor {
  const found = model.stateDict().get(name);
  if (!found) throw new Error(`test: the model has no '${name}'`);
  return found;
}

/** Writes rows of numbers into a parameter. */
export function setWeight(model: ImageModel, name: string, values: readonly number[]): void {
  const target = weightOf(model, name);
  noGrad(() => target.copy_(tensor([...values]).reshape(...target.shape)));
}

/** The same random images at every pass, in batches of the sizes given. */
export function randomImages(model: ImageModel, sizes: readonly number[], seed = 1): Calibration {
  const { channels, imageSize, numClasses } = model.config;
  manualSeed(seed);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const images = randn([total, channels, imageSize, imageSize]);
  const labels = Array.from({ length: total }, (_, i) => (i * 7) % numClasses);
  return calibrationOf(images, labels, sizes);
}

/** Cuts images, [n, channels, height, width], with labels into batches of the sizes given. */
export function calibrationOf(
  images: Tensor,
  labels: readonly number[],
  sizes: readonly number[],
): Calibration {
  return async function* () {
    let from = 0;
    for (const size of sizes) {
      await Promise.resolve();
      yield {
        images: scope(() => images.narrow(0, from, size).clone()),
        labels: tensor(labels.slice(from, from + size), { dtype: 'int64' }),
      };
      from += size;
    }
  };
}

interface TwoLayerOptions {
  readonly units: number;
  readonly batchNorm?: boolean;
}

/**
 * Images of one pixel -> fc1 -> (batch norm) -> relu -> dropout -> fc2 -> two classes: small enough
 * for gradients by hand. One group, `hidden`, of kind `neurons`.
 */
export class TwoLayer extends nn.Module implements ImageModel {
  readonly config: ModelConfigBase;
  readonly fc1: nn.Linear;
  readonly norm: nn.BatchNorm2d | undefined;
  readonly drop = this.child('drop', new nn.Dropout(0.5));
  readonly fc2: nn.Linear;

  readonly options: TwoLayerOptions;

  constructor(options: TwoLayerOptions) {
    super();
    this.options = options;
    const { units, batchNorm = false } = options;
    this.config = {
      family: 'two-layer',
      arch: 'two_layer',
      imageSize: 1,
      channels: 2,
      numClasses: 2,
      widths: { hidden: units },
    };
    this.fc1 = this.child('fc1', new nn.Linear(2, units));
    this.norm = batchNorm ? this.child('norm', new nn.BatchNorm2d(units)) : undefined;
    this.fc2 = this.child('fc2', new nn.Linear(units, 2, { bias: false }));
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    const hidden = probeOf(probe, 'hidden');
    let x = this.fc1.forward(images.flatten(1));
    if (this.norm) x = this.norm.forward(x.unsqueeze(2).unsqueeze(3)).flatten(1);
    x = this.drop.forward(x.relu());
    x = hidden?.gate(x, 1) ?? x;
    hidden?.output(x, 1);
    return this.fc2.forward(x);
  }

  pruningGroups(): PruningGroup[] {
    return [
      {
        name: 'hidden',
        kind: 'neurons',
        size: this.options.units,
        members: [
          { parameter: 'fc1.weight', dim: 0, scored: true },
          { parameter: 'fc1.bias', dim: 0 },
          { parameter: 'fc2.weight', dim: 1, scored: true, consumer: true },
          ...(this.norm
            ? ['weight', 'bias', 'running_mean', 'running_var'].map((name) => ({
                parameter: `norm.${name}`,
                dim: 0,
              }))
            : []),
        ],
      },
    ];
  }

  macs(): MacsEntry[] {
    return [{ name: 'hidden', macs: this.fc1.weight.numel + this.fc2.weight.numel }];
  }

  withWidths(widths: Readonly<Record<string, number>>): TwoLayer {
    return new TwoLayer({ ...this.options, units: widths['hidden'] ?? this.options.units });
  }
}

/** Three neurons over pixels (p, q): relu(p + q), relu(2p), relu(-p); every logit reads a_j h_j. */
export function threeNeurons(readers: readonly [number, number, number]): TwoLayer {
  const model = new TwoLayer({ units: 3 });
  setWeight(model, 'fc1.weight', [1, 1, 2, 0, -1, 0]);
  setWeight(model, 'fc1.bias', [0, 0, 0]);
  // Equal logits: softmax gives 1/2 for both classes, whatever the image.
  setWeight(model, 'fc2.weight', [...readers, ...readers]);
  return model;
}

/** Images of one pixel with two channels. */
export const pixels = (values: readonly (readonly [number, number])[]): Tensor =>
  tensor(values.flat()).reshape(values.length, 2, 1, 1);
