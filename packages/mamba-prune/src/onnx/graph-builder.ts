// Builds an ONNX graph value by value. Every value knows its shape and type, so that a layer which does
// not fit throws here, where its name is known, and not when a runtime loads the file.
import { ShapeError } from '@mamba-prune/libtorch';
import {
  type AttributeProto,
  type ElementType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
  attributeTypes,
  elementTypes,
} from './messages.js';
import { type NumberArray, encodeElements } from './elements.js';

/** A size, or the name of one that is known when the model runs. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Something that a node makes, a weight, or an input of the graph. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly text: string }
  | { readonly graph: GraphProto };

export type Attributes = Readonly<Record<string, Attribute>>;

export interface NodeOptions {
  /** Name of the node and its first output, under the builder's prefix. By default the operator's. */
  readonly name?: string | undefined;
  readonly attributes?: Attributes;
  /** Operator set. By default the standard's. */
  readonly domain?: string;
}

type Output = Pick<Value, 'type' | 'shape'>;

/** What all builders of one graph share. */
interface State {
  readonly names: Set<string>;
  readonly nodes: NodeProto[];
  readonly initializers: TensorProto[];
  readonly values: ValueInfoProto[];
  readonly inputs: ValueInfoProto[];
  readonly domains: Set<string>;
}

export class GraphBuilder {
  readonly #state: State;
  readonly #prefix: string;

  constructor(from?: { readonly state: State; readonly prefix: string }) {
    this.#state = from?.state ?? {
      names: new Set(),
      nodes: [],
      initializers: [],
      values: [],
      inputs: [],
      domains: new Set(['']),
    };
    this.#prefix = from?.prefix ?? '';
  }

  /** A builder of the same graph whose names begin with `prefix`. */
  at(prefix: string): GraphBuilder {
    return new GraphBuilder({ state: this.#state, prefix: this.#join(prefix) });
  }

  /** A builder of a graph inside this one, such as the body of a loop: it shares names, so none is used twice. */
  inner(): GraphBuilder {
    const { names, domains } = this.#state;
    const state = { names, domains, nodes: [], initializers: [], values: [], inputs: [] };
    return new GraphBuilder({ state, prefix: this.#prefix });
  }

  /** Operator sets that the nodes come from. */
  get domains(): ReadonlySet<string> {
    return this.#state.domains;
  }

  input(name: string, type: ElementType, shape: Shape, doc?: string): Value {
    const value = { name: this.#unique(this.#join(name)), type, shape };
    this.#state.inputs.push(valueInfo(value, doc));
    return value;
  }

  /** A weight or constant, under its name within the prefix. */
  constant(name: string, type: ElementType, data: NumberArray, shape: readonly number[]): Value {
    const size = shape.reduce((product, dim) => product * dim, 1);
    const full = this.#unique(this.#join(name));
    if (size !== data.length) {
      throw new ShapeError(
        `ONNX constant "${full}": got ${data.length} numbers, expected ${size} for shape [${shape.join(', ')}].`,
      );
    }
    this.#state.initializers.push({
      name: full,
      dims: shape,
      data_type: elementTypes[type],
      raw_data: encodeElements(type, data),
    });
    return { name: full, type, shape };
  }

  /** One node with one output. An undefined input leaves an optional one out. */
  node(
    operator: string,
    inputs: readonly (Value | undefined)[],
    output: Output,
    options: NodeOptions = {},
  ): Value {
    return this.nodes(operator, inputs, [output], options)[0] as Value;
  }

  /** One node with several outputs. */
  nodes(
    operator: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly Output[],
    { name = operator, attributes = {}, domain = '' }: NodeOptions = {},
  ): Value[] {
    const { nodes, values, domains } = this.#state;
    const full = this.#unique(this.#join(name));
    const made = outputs.map((output, index): Value => ({
      ...output,
      name: index === 0 ? full : this.#unique(`${full}.${index}`),
    }));
    nodes.push({
      name: full,
      op_type: operator,
      domain,
      input: inputs.map((value) => value?.name ?? ''),
      output: made.map((value) => value.name),
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    });
    domains.add(domain);
    values.push(...made.map((value) => valueInfo(value)));
    return made;
  }

  /** The value under another name, such as that of an output of the graph. */
  renamed(value: Value, name: string): Value {
    return this.node('Identity', [value], value, { name });
  }

  /** @param outputs - values that nodes of this very graph made */
  build(name: string, outputs: readonly Value[], doc?: string): GraphProto {
    const { nodes, initializers, inputs, values } = this.#state;
    const made = new Set(outputs.map((value) => value.name));
    return {
      name,
      node: nodes,
      initializer: initializers,
      input: inputs,
      output: outputs.map((value) => valueInfo(value)),
      value_info: values.filter((value) => !made.has(value.name)),
      ...(doc !== undefined && { doc_string: doc }),
    };
  }

  #join(name: string): string {
    return this.#prefix === '' ? name : `${this.#prefix}.${name}`;
  }

  #unique(name: string): string {
    const { names } = this.#state;
    let found = name;
    for (let n = 2; names.has(found); n++) found = `${name}_${n}`;
    names.add(found);
    return found;
  }
}

function valueInfo({ name, type, shape }: Value, doc?: string): ValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === 'number' ? { dim_value: size } : { dim_param: size },
  );
  return {
    name,
    type: { tensor_type: { elem_type: elementTypes[type], shape: { dim } } },
    ...(doc !== undefined && { doc_string: doc }),
  };
}

function attribute(name: string, value: Attribute): AttributeProto {
  if ('int' in value) return { name, type: attributeTypes.i, i: value.int };
  if ('float' in value) return { name, type: attributeTypes.f, f: value.float };
  if ('ints' in value) return { name, type: attributeTypes.ints, ints: value.ints };
  if ('text' in value) return { name, type: attributeTypes.s, s: Buffer.from(value.text) };
  return { name, type: attributeTypes.g, g: value.graph };
}
