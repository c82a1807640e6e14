// The tensors of a state dict on their way from another program's names and forms to ours.
import { FormatError, type Tensor, cat, noGrad, zeros } from '@mamba-prune/libtorch';
import { listed, printableName } from '../../printable.js';

/** A name that matches gets the replacement, as `String.replace` does it; the first rule that matches counts. */
export type Rename = readonly [pattern: RegExp, replacement: string];

/** What a name that matches tells of a model that ours is not. */
export type Refusal = readonly [pattern: RegExp, what: string];

/** What peft, and loralib before it, put beside the layers of any model, and what peft puts before the names of those. */
export const adapterNames =
  /(?:^|\.)(?:lora_(?:[ABab]|embedding_[AB]|magnitude_vector)|base_layer|modules_to_save)(?:\.|$)/;

const adapter: Refusal = [
  adapterNames,
  'an adapter beside its layers (model.merge_and_unload() of peft makes one model of both)',
];

/**
 * Names, tensors and notes of one import. Tensors that are made here belong to the caller's scope; those given are
 * never changed.
 */
export class StateDict {
  readonly #tensors: Map<string, Tensor>;
  readonly #notes: string[] = [];

  constructor(tensors: ReadonlyMap<string, Tensor>) {
    this.#tensors = new Map(tensors);
  }

  get tensors(): ReadonlyMap<string, Tensor> {
    return this.#tensors;
  }

  /** Whole sentences. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  get shapes(): Map<string, readonly number[]> {
    return new Map(Array.from(this.#tensors, ([name, { shape }]) => [name, shape]));
  }

  note(sentence: string): void {
    this.#notes.push(sentence);
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  get(name: string): Tensor | undefined {
    return this.#tensors.get(name);
  }

  names(): string[] {
    return [...this.#tensors.keys()];
  }

  set(name: string, tensor: Tensor): void {
    this.#tensors.set(name, tensor);
  }

  /** @returns what was there */
  take(name: string): Tensor | undefined {
    const tensor = this.#tensors.get(name);
    this.#tensors.delete(name);
    return tensor;
  }

  /** @throws FormatError naming the first tensor that tells of another model */
  refuse(family: string, refusals: readonly Refusal[]): void {
    for (const name of this.#tensors.keys()) {
      const found = [...refusals, adapter].find(([pattern]) => pattern.test(name));
      if (!found) continue;
      throw new FormatError(
        `import: got '${printableName(name)}', which belongs to ${found[1]}, expected a ${family} without: no architecture here has it.`,
      );
    }
  }

  /**
   * Gives every tensor its new name.
   * @returns how many names changed
   * @throws FormatError if two tensors would have one name
   */
  rename(rules: readonly Rename[]): number {
    const before = new Map<string, string>();
    let changed = 0;
    for (const [name, tensor] of [...this.#tensors]) {
      const rule = rules.find(([pattern]) => pattern.test(name));
      const to = rule ? name.replace(...rule) : name;
      const other = before.get(to);
      if (other !== undefined) {
        throw new FormatError(
          `import: got both '${printableName(other)}' and '${printableName(name)}', which are both '${printableName(to)}' here, expected one of them.${severalLayers(other, name)}`,
        );
      }
      before.set(to, name);
      if (to !== name) changed++;
      this.#tensors.delete(name);
      this.#tensors.set(to, tensor);
    }
    return changed;
  }

  /**
   * Multiplies the rows of a layer's weight, and its bias: what a scale behind the layer does. In float64, so that one
   * rounding is left.
   * @param layer - name of a linear layer
   * @param scale - one factor per row
   * @throws FormatError unless there are as many
   */
  scaleRows(layer: string, scale: Tensor, scaleName: string): void {
    for (const part of ['weight', 'bias']) {
      const name = `${layer}.${part}`;
      const tensor = this.get(name);
      if (!tensor) continue;
      const [rows = 0] = tensor.shape;
      if (scale.ndim !== 1 || scale.size(0) !== rows) {
        throw new FormatError(
          `import: got '${scaleName}' of shape [${scale.shape.join(', ')}] for '${name}' of ${rows} rows, expected [${rows}]`,
        );
      }
      // What is no float is refused later, under its own name.
      if (!tensor.isFloat || !scale.isFloat) continue;
      const factor = scale.to('float64').view(-1, ...tensor.shape.slice(1).map(() => 1));
      this.set(
        name,
        noGrad(() => tensor.to('float64').mul(factor)),
      );
    }
  }

  /**
   * Adds the bias of zeros that layers without one are the same as; only where every layer lacks it, since one that
   * lacks what others have is a damaged file.
   * @param layers - names of layers of one kind
   * @param kind - for the note: what the layers are
   */
  addZeroBiases(layers: readonly string[], kind: string): void {
    if (layers.some((layer) => this.has(`${layer}.bias`) || !this.has(`${layer}.weight`))) return;
    for (const layer of layers) {
      const weight = this.get(`${layer}.weight`) as Tensor;
      this.set(`${layer}.bias`, zeros([weight.size(0)]));
    }
    if (layers.length > 0) {
      this.note(
        `The ${kind} has no bias in the file; a bias of zeros, which is the same, was added.`,
      );
    }
  }

  /**
   * Tensors one below the other, under one name; leaves everything as it is unless all are there.
   * @throws FormatError if their shapes differ
   */
  join(parts: readonly string[], name: string): void {
    const tensors = parts.map((part) => this.get(part)).filter((tensor) => tensor !== undefined);
    if (tensors.length < parts.length) return;
    const [first] = tensors as [Tensor];
    const other = tensors.findIndex((tensor) => String(tensor.shape) !== String(first.shape));
    if (other >= 0 || first.ndim === 0) {
      throw new FormatError(
        `import: got '${parts[0]}' of shape [${first.shape.join(', ')}] and '${parts[other]}' of [${tensors[other]?.shape.join(', ')}], ` +
          'expected query, key and value of one shape.',
      );
    }
    for (const part of parts) this.take(part);
    this.set(
      name,
      noGrad(() => cat(tensors, 0)),
    );
  }

  /** Removes tensors that no forward pass of a classifier reads, and says so. */
  drop(pattern: RegExp, why: string): void {
    const names = this.names().filter((name) => pattern.test(name));
    for (const name of names) this.take(name);
    if (names.length > 0) this.note(`Left out: ${listed(names)}, ${why}.`);
  }
}

/** What to say of two layers of one Sequential in a place where models here have one. */
function severalLayers(one: string, other: string): string {
  const stem = (name: string): string | undefined => /^(.*)\.\d+\.\w+$/.exec(name)?.[1];
  const sequential = stem(one);
  return sequential === undefined || sequential !== stem(other)
    ? ''
    : ` The ${sequential} of the file has several layers: no architecture here has more than one there. A family of your own can (\`loadPlugin\`, docs/extend.md).`;
}
