// MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601) as an ImageModel. All that pruning, Refill and RSST
// need of an architecture is that it declares its groups and shows their units to a probe.
//   x = x + mix(norm1(x)ᵀ)ᵀ over the patches;  x = x + mlp(norm2(x)) over the channels
import { type Tensor, nn } from '@mamba-prune/libtorch';
import type { ImageModel, MacsEntry, ModelConfigBase, PruningGroup, UnitProbe } from 'mamba-prune';

export interface MixerConfig extends ModelConfigBase {
  readonly patchSize: number;
  readonly dModel: number;
  readonly depth: number;
}

/** Linear, GELU, linear; the hidden neurons are the units of a group. */
class Mlp extends nn.Module {
  readonly norm: nn.LayerNorm;
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;

  /** @param group - its name, which is also where the module stands in the state dict */
  constructor(
    readonly group: string,
    { dModel, widths }: MixerConfig,
    readonly over: { kind: string; size: number; times: number },
  ) {
    super();
    const hidden = widths[group] ?? 4 * over.size;
    this.norm = this.child('norm', new nn.LayerNorm(dModel));
    this.fc1 = this.child('fc1', new nn.Linear(over.size, hidden));
    this.fc2 = this.child('fc2', new nn.Linear(hidden, over.size));
  }

  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    const activated = this.fc1.forward(x).gelu();
    // Multiplying a unit by 0 here equals removing it.
    const y = probe?.gate?.(this.group, activated, 2) ?? activated;
    probe?.output?.(this.group, y, 2);
    return this.fc2.forward(y);
  }

  /** A neuron is a row of fc1 with its bias, and a column of fc2. */
  units(): PruningGroup {
    const { group: name, over, fc1 } = this;
    const members = [
      { parameter: `${name}.fc1.weight`, dim: 0, scored: true, regularized: true },
      { parameter: `${name}.fc1.bias`, dim: 0 },
      { parameter: `${name}.fc2.weight`, dim: 1, scored: true, consumer: true },
    ];
    return { name, kind: over.kind, size: fc1.weight.size(0), members };
  }
}

export class MlpMixer extends nn.Module implements ImageModel {
  readonly #embed: nn.Conv2d;
  /** mix and mlp of block 0, of block 1 ... */
  readonly #mlps: readonly Mlp[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;

  constructor(readonly config: MixerConfig) {
    super();
    const { imageSize, patchSize: stride, channels, dModel, depth, numClasses } = config;
    const patches = (imageSize / stride) ** 2;
    this.#embed = this.child('embed', new nn.Conv2d(channels, dModel, stride, { stride }));
    const mlps = Array.from({ length: 2 * depth }, (_, i) => {
      const over =
        i % 2 === 0
          ? { kind: 'mix', size: patches, times: dModel }
          : { kind: 'mlp', size: dModel, times: patches };
      return new Mlp(`mlps.${i}`, config, over);
    });
    this.#mlps = this.child('mlps', new nn.ModuleList(mlps)).items;
    this.#norm = this.child('norm', new nn.LayerNorm(dModel));
    this.#head = this.child('head', new nn.Linear(dModel, numClasses));
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    let x = this.#embed.forward(images).flatten(2).transpose(1, 2);
    for (const mlp of this.#mlps) {
      const turned = (t: Tensor): Tensor => (mlp.over.kind === 'mix' ? t.transpose(1, 2) : t);
      x = x.add(turned(mlp.forward(turned(mlp.norm.forward(x)), probe)));
    }
    return this.#head.forward(this.#norm.forward(x).mean(1));
  }

  pruningGroups(): PruningGroup[] {
    return this.#mlps.map((mlp) => mlp.units());
  }

  macs(): MacsEntry[] {
    return this.#mlps.map(({ group, over, fc1 }) => {
      return { name: group, macs: 2 * over.times * fc1.weight.numel };
    });
  }

  withWidths(widths: Readonly<Record<string, number>>): MlpMixer {
    return new MlpMixer({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
