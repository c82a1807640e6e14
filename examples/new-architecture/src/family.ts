// MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601) as a family of one's own:
//   x = x + mix(norm(x)ᵀ)ᵀ over the patches;  x = x + mlp(norm(x)) over the channels
import { F, type Tensor, nn } from '@mamba-prune/libtorch';
import { type ImageModel, Mlp, type UnitProbe, commonOptions, probeOf } from 'mamba-prune/models';
import { checkPatches, checkWidths, configFields, parseConfig } from 'mamba-prune/models';
import { registerFamily } from 'mamba-prune/models';
import * as onnx from 'mamba-prune/onnx';
import { z } from 'zod';

const { common, size, depth } = configFields;
const sizes = { patchSize: size, dModel: size, depth };
const schema = z.strictObject({ family: z.literal('mixer'), ...common, ...sizes });
type Config = z.infer<typeof schema>;

const patchesOf = ({ imageSize, patchSize }: Config): number => (imageSize / patchSize) ** 2;

/** The MLPs, in turn over the patches and over the channels. The hidden neurons of each are a group of units. */
function mlpsOf(config: Config) {
  const [patches, channels] = [patchesOf(config), config.dModel];
  const mix = { kind: 'mix', over: patches, times: channels };
  const mlp = { kind: 'mlp', over: channels, times: patches };
  return Array.from({ length: 2 * config.depth }, (_, i) => {
    const [name, facts] = [`mlps.${i}`, i % 2 === 0 ? mix : mlp];
    return { name, ...facts, hidden: config.widths[name] ?? 4 * facts.over };
  });
}
type MlpFacts = ReturnType<typeof mlpsOf>[number];

class MlpMixer extends nn.Module implements ImageModel {
  readonly #embed: nn.Conv2d;
  readonly #mlps: readonly (MlpFacts & { norm: nn.LayerNorm; mlp: Mlp })[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;
  readonly config: Config;

  constructor(config: Config) {
    super();
    this.config = config;
    const { channels, dModel, patchSize: stride, numClasses } = config;
    this.#embed = this.child('embed', new nn.Conv2d(channels, dModel, stride, { stride }));
    this.#mlps = mlpsOf(config).map((facts) => {
      const mlp = new Mlp(facts.over, facts.hidden, ['fc1', 'fc2']);
      return { ...facts, norm: new nn.LayerNorm(dModel), mlp };
    });
    this.child('norms', new nn.ModuleList(this.#mlps.map(({ norm }) => norm)));
    this.child('mlps', new nn.ModuleList(this.#mlps.map(({ mlp }) => mlp)));
    this.#norm = this.child('norm', new nn.LayerNorm(dModel));
    this.#head = this.child('head', new nn.Linear(dModel, numClasses));
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    let x = this.#embed.forward(images).flatten(2).transpose(1, 2);
    for (const { name, kind, norm, mlp } of this.#mlps) {
      const turn = (t: Tensor): Tensor => (kind === 'mix' ? t.transpose(1, 2) : t);
      // The probe sees the neurons: to multiply one by 0 there equals removing it.
      x = x.add(turn(mlp.forward(turn(norm.forward(x)), probeOf(probe, name))));
    }
    return this.#head.forward(F.meanFloat32(this.#norm.forward(x), [1]));
  }

  /** A neuron is a row of fc1 with its bias, and a column of fc2. */
  pruningGroups() {
    return this.#mlps.map(({ name, kind, hidden }) => {
      const members = [
        { parameter: `${name}.fc1.weight`, dim: 0, scored: true, regularized: true },
        { parameter: `${name}.fc1.bias`, dim: 0 },
        { parameter: `${name}.fc2.weight`, dim: 1, scored: true, consumer: true },
      ];
      return { name, kind, size: hidden, members };
    });
  }

  macs() {
    const mlps = this.#mlps.map(({ name, over, times, hidden }) => {
      return { name, macs: 2 * times * over * hidden };
    });
    const embed = { name: 'embed', macs: patchesOf(this.config) * this.#embed.weight.numel };
    return [embed, ...mlps, { name: 'head', macs: this.#head.weight.numel }];
  }

  withWidths(widths: Readonly<Record<string, number>>): MlpMixer {
    return new MlpMixer({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}

function checkConfig(value: unknown): Config {
  const config = parseConfig('mixer', schema, value);
  checkPatches('mixer', config.imageSize, config.patchSize);
  // A group that is not named is as wide as in a new model.
  const names = mlpsOf(config).map(({ name }) => name);
  checkWidths('mixer', config.widths, [], names);
  return config;
}

/** The same computation as an ONNX graph. */
function build(config: Config, layers: onnx.Layers, image: onnx.Value): onnx.Value {
  const { g } = layers;
  const turned = (x: onnx.Value): onnx.Value => onnx.transpose(g, x, [0, 2, 1]);
  const shape = ['batch', config.dModel, patchesOf(config)];
  let x = turned(onnx.reshape(g, layers.conv2d('embed', image), shape));
  for (const [i, { name, kind }] of mlpsOf(config).entries()) {
    const turn = kind === 'mix' ? turned : (y: onnx.Value) => y;
    const normed = turn(layers.layerNorm(`norms.${i}`, x));
    x = onnx.add(g, x, turn(layers.mlp(name, ['fc1', 'fc2'], normed)));
  }
  const normed = onnx.cast(g, layers.layerNorm('norm', x), 'float32');
  return layers.exact.linear('head', onnx.reduceMean(g, normed, [1]));
}

const { patchSize, dModel, mlpKind } = commonOptions;
const mixKind = {
  units: 'mixing neurons',
  label: { en: 'Mixing neurons' },
  rateFlag: '--mix-rate',
};

registerFamily<Config>({
  name: 'mixer',
  title: 'MLP-Mixer',
  architectures: {
    mixer_nano: { patchSize: 4, dModel: 32, depth: 2 },
    mixer_small: { patchSize: 16, dModel: 512, depth: 8 },
  },
  options: { patchSize, dModel, depth: commonOptions.depth },
  kinds: { mix: mixKind, mlp: mlpKind },
  checkConfig,
  create: (config) => new MlpMixer(config),
  onnx: { build },
  module: import.meta.filename,
});
