// The layers of a model as parts of a graph. They are found by their names in the state dict, so the
// graph's weights and nodes have the parameters' names, and sizes come from the weights themselves.
import { StateDictError, type Tensor, nn } from '@mamba-prune/libtorch';
import type { FloatType, Quantization } from './choices.js';
import type { GraphBuilder, Value } from './graph-builder.js';
import { add, conv, gelu, matMul } from './operators.js';
import { dynamicProduct, int8Weight } from './weight-formats.js';

export interface Weight {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** How weights are written. */
export interface WeightFormat {
  readonly type: FloatType;
  /** Of linear layers and convolutions; not of what is small. */
  readonly quantize?: Quantization | undefined;
}

/** What a layer is made from: a model, a graph under construction, and the part of it where we are. */
export class Layers {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #modules: ReadonlyMap<string, nn.Module>;

  readonly #prefix: string;

  readonly g: GraphBuilder;
  readonly format: WeightFormat;

  private constructor(
    g: GraphBuilder,
    tensors: ReadonlyMap<string, Tensor>,
    modules: ReadonlyMap<string, nn.Module>,
    prefix: string,
    format: WeightFormat,
  ) {
    this.g = g;
    this.format = format;
    this.#prefix = prefix;
    this.#tensors = tensors;
    this.#modules = modules;
  }

  static of(model: nn.Module, g: GraphBuilder, format: WeightFormat): Layers {
    return new Layers(g, model.stateDict(), model.namedModules(), '', format);
  }

  /** The same layers, their weights as they are: float32. */
  get exact(): Layers {
    const format = { type: 'float32' } as const;
    return new Layers(this.g, this.#tensors, this.#modules, this.#prefix, format);
  }

  /** The layers below `name`; what is made there has names below it too. */
  at(name: string): Layers {
    const prefix = `${this.#prefix}${name}.`;
    return new Layers(this.g.at(name), this.#tensors, this.#modules, prefix, this.format);
  }

  has(name: string): boolean {
    return this.#tensors.has(this.#prefix + name);
  }

  /** Values of a parameter or buffer. */
  weight(name: string): Weight {
    const tensor = this.#tensors.get(this.#prefix + name);
    if (!tensor) {
      const full = this.#prefix + name;
      throw new StateDictError(`ONNX export: the model has no weight "${full}".`, [full], []);
    }
    const data = tensor.detach().to('cpu').to('float32').contiguous().toTypedArray();
    return { data: data as Float32Array, shape: tensor.shape };
  }

  /** A parameter as a constant of the graph. */
  parameter(name: string): Value {
    return this.constant(name, this.weight(name));
  }

  constant(name: string, { data, shape }: Weight): Value {
    return this.g.constant(name, this.format.type, data, shape);
  }

  /** x Wᵀ + b: the weight is stored transposed, [in, out], as MatMul takes it. */
  linear(name: string, x: Value): Value {
    const here = this.at(name);
    const weight = transposed(here.weight('weight'));
    const hasBias = here.has('bias');
    // The last node of the layer has the layer's name.
    const [g, named] = hasBias ? [here.g, {}] : [this.g, { name }];
    const product =
      this.format.quantize === 'int8-dynamic'
        ? dynamicProduct(here.g, x, weight)
        : matMul(g, x, here.#weight(weight, 1), named);
    return hasBias ? add(this.g, product, here.parameter('bias'), { name }) : product;
  }

  /** @param axis - dimension of the output channels */
  #weight(weight: Weight, axis: number): Value {
    return this.format.quantize === undefined
      ? this.constant('weight', weight)
      : int8Weight(this.g, weight, axis, this.format.type);
  }

  layerNorm(name: string, x: Value): Value {
    const here = this.at(name);
    const { eps } = this.#module(name, nn.LayerNorm);
    return this.g.node(
      'LayerNormalization',
      [x, here.parameter('weight'), here.parameter('bias')],
      x,
      {
        name,
        attributes: { axis: { int: -1 }, epsilon: { float: eps } },
      },
    );
  }

  /** Linear, GELU, linear. */
  mlp(name: string, [first, second]: readonly [string, string], x: Value): Value {
    const here = this.at(name);
    return here.linear(second, gelu(here.g, here.linear(first, x)));
  }

  /** @param norm - a BatchNorm behind it, which becomes part of its weight and bias */
  conv2d(name: string, x: Value, norm?: string): Value {
    const here = this.at(name);
    const { stride, padding, groups } = this.#module(name, nn.Conv2d);
    const { weight, bias } = norm === undefined ? this.#plainConv(here) : this.#folded(name, norm);
    return conv(this.g, x, here.#weight(weight, 0), bias && here.constant('bias', bias), {
      name,
      groups,
      stride: stride as number,
      pads: [padding as number, padding as number],
    });
  }

  #plainConv(here: Layers): { readonly weight: Weight; readonly bias: Weight | undefined } {
    const bias = here.has('bias') ? here.weight('bias') : undefined;
    return { weight: here.weight('weight'), bias };
  }

  /** y = (conv(x) - mean) * factor + beta, with factor = gamma / sqrt(variance + eps). */
  #folded(name: string, norm: string): { readonly weight: Weight; readonly bias: Weight } {
    const { eps } = this.#module(norm, nn.BatchNorm2d);
    const { data, shape } = this.weight(`${name}.weight`);
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (part) => this.weight(`${norm}.${part}`).data,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const factor = Float64Array.from(gamma, (g, i) => g / Math.sqrt((variance[i] as number) + eps));
    const perChannel = data.length / factor.length;
    return {
      weight: {
        data: data.map((value, i) => value * (factor[Math.floor(i / perChannel)] as number)),
        shape,
      },
      bias: {
        data: beta.map((b, i) => b - (mean[i] as number) * (factor[i] as number)),
        shape: [factor.length],
      },
    };
  }

  #module<T extends nn.Module>(name: string, kind: new (...args: never[]) => T): T {
    const module = this.#modules.get(this.#prefix + name);
    if (module instanceof kind) return module;
    throw new StateDictError(
      `ONNX export: expected "${this.#prefix}${name}" to be a ${kind.name}.`,
      [this.#prefix + name],
      [],
    );
  }
}

/** [rows, columns] to [columns, rows]. */
export function transposed({ data, shape }: Weight): Weight {
  const [rows, columns] = shape as [number, number];
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = data[r * columns + c] as number;
  }
  return { data: result, shape: [columns, rows] };
}
