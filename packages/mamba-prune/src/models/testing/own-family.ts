// A family of one's own, as small as one can be: pixels, an MLP whose neurons are prunable, logits.
import { type Tensor, nn } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { count, mlpKind } from '../common-options.js';
import { checkWidths, configFields, parseConfig } from '../config-checks.js';
import type { Family } from '../family.js';
import { type ImageModel, type UnitProbe, probeOf } from '../image-model.js';
import type { Layout } from '../import/layout.js';
import { Mlp } from '../layers/mlp.js';

const { common, size } = configFields;
const schema = z.strictObject({ family: z.string(), ...common, neurons: size });

export type OwnConfig = z.infer<typeof schema>;

class OwnModel extends nn.Module implements ImageModel {
  readonly #mlp: Mlp;
  readonly #head: nn.Linear;

  readonly config: OwnConfig;

  constructor(config: OwnConfig) {
    super();
    this.config = config;
    const { channels, imageSize, numClasses, neurons, widths } = config;
    const pixels = channels * imageSize ** 2;
    this.#mlp = this.child('mlp', new Mlp(pixels, widths['mlp'] ?? neurons, ['fc1', 'fc2']));
    this.#head = this.child('head', new nn.Linear(pixels, numClasses));
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    const x = images.flatten(1).unsqueeze(1);
    return this.#head.forward(this.#mlp.forward(x, probeOf(probe, 'mlp')).squeeze(1));
  }

  pruningGroups() {
    const members = [
      { parameter: 'mlp.fc1.weight', dim: 0, scored: true },
      { parameter: 'mlp.fc1.bias', dim: 0 },
      { parameter: 'mlp.fc2.weight', dim: 1, consumer: true },
    ];
    return [{ name: 'mlp', kind: 'mlp', size: this.#mlp.fc1.weight.size(0), members }];
  }

  macs() {
    const { fc1, fc2 } = this.#mlp;
    return [
      { name: 'mlp', macs: fc1.weight.numel + fc2.weight.numel },
      { name: 'head', macs: this.#head.weight.numel },
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): OwnModel {
    return new OwnModel({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}

/** A family with only what is needed; names have to differ, for what is registered stays for the whole process. */
export function ownFamily(name: string, more: Partial<Family<OwnConfig>> = {}): Family<OwnConfig> {
  return {
    name,
    title: `Family ${name}`,
    architectures: { [`${name}_small`]: { neurons: 6 }, [`${name}_large`]: { neurons: 60 } },
    options: { neurons: { values: count(1000), flag: '--neurons <n>', label: 'neurons' } },
    kinds: { mlp: mlpKind },
    checkConfig(value) {
      const config = parseConfig(name, schema, value);
      checkWidths(name, config.widths, [], ['mlp']);
      return config;
    },
    create: (config) => new OwnModel(config),
    ...more,
  };
}

/** Reads files that call the layers `hidden.in`, `hidden.out` and `classifier`. */
export const ownLayout = (family: string): Layout => ({
  programs: `a model of ${family}`,
  telling: ['neurons'],
  recognises: (shapes) => shapes.has('hidden.in.weight') && shapes.has('hidden.out.weight'),
  read(tensors) {
    const ours = new Map(
      Array.from(tensors, ([name, tensor]) => [
        name
          .replace('hidden.in', 'mlp.fc1')
          .replace('hidden.out', 'mlp.fc2')
          .replace('classifier', 'head'),
        tensor,
      ]),
    );
    const shapeOf = (name: string): readonly number[] => ours.get(name)?.shape ?? [];
    const [neurons = 0, pixels = 0] = shapeOf('mlp.fc1.weight');
    const [numClasses = 0] = shapeOf('head.weight');
    const sizes = { neurons, numClasses };
    return {
      sizes,
      tensors: ours,
      notes: [`The names of ${family} were turned into ours.`],
      config: (arch, { channels = 3 }) => ({
        config: {
          family,
          arch,
          ...sizes,
          channels,
          imageSize: Math.sqrt(pixels / channels),
          widths: { mlp: neurons },
        },
        assumed: [],
        notes: [],
      }),
    };
  },
});
