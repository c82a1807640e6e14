// What every ONNX checker asks of a model's structure, checked before a file is written.
import { FormatError } from '@mamba-prune/libtorch';
import { type GraphProto, type ModelProto, type TensorProto, elementTypes } from './messages.js';

/** Bytes of one element by TensorProto.DataType. */
const elementBytes: ReadonlyMap<number, number> = new Map([
  [elementTypes.float32, 4],
  [elementTypes.uint8, 1],
  [elementTypes.int8, 1],
  [elementTypes.int32, 4],
  [elementTypes.int64, 8],
  [elementTypes.bool, 1],
  [elementTypes.float16, 2],
]);

/**
 * Checks that operator sets are imported, names are unique in the whole model, every value exists before
 * it is used, tensors have the bytes that their shapes ask for, and outputs are made.
 * @throws FormatError naming every fault
 */
export function checkModel(model: ModelProto): void {
  const faults: string[] = [];
  const domains = new Set<string>();
  for (const { domain } of model.opset_import) {
    if (domains.has(domain)) faults.push(`operator set '${domain}' is imported twice`);
    domains.add(domain);
  }
  checkGraph(model.graph, { domains, nodes: new Set(), outer: new Set(), faults });
  const keys = model.metadata_props.map(({ key }) => key);
  for (const key of repeated(keys)) faults.push(`metadata '${key}' is there twice`);
  if (faults.length === 0) return;
  throw new FormatError(`ONNX model '${model.graph.name}' is not sound: ${faults.join('; ')}.`);
}

interface Scope {
  readonly domains: ReadonlySet<string>;
  /** Names of all nodes so far. */
  readonly nodes: Set<string>;
  /** Values of the graphs around this one. */
  readonly outer: ReadonlySet<string>;
  readonly faults: string[];
}

function checkGraph(graph: GraphProto, scope: Scope): void {
  const { faults, domains, nodes } = scope;
  const known = new Set(scope.outer);
  const make = (name: string, what: string): void => {
    if (name === '') faults.push(`${what} of '${graph.name}' has no name`);
    else if (known.has(name)) faults.push(`'${name}' is made twice`);
    known.add(name);
  };
  for (const { name } of graph.input) make(name, 'an input');
  for (const tensor of graph.initializer) {
    make(tensor.name, 'a weight');
    checkBytes(tensor, faults);
  }
  for (const node of graph.node) {
    const { name, op_type: operator, domain } = node;
    if (nodes.has(name)) faults.push(`two nodes are called '${name}'`);
    nodes.add(name);
    if (!domains.has(domain)) {
      faults.push(`'${name}' (${operator}) is of operator set '${domain}', which is not imported`);
    }
    for (const input of node.input) {
      if (input !== '' && !known.has(input)) {
        faults.push(`'${name}' (${operator}) takes '${input}', which nothing before it makes`);
      }
    }
    for (const { g } of node.attribute) if (g) checkGraph(g, { ...scope, outer: known });
    for (const output of node.output) if (output !== '') make(output, `an output of '${name}'`);
  }
  for (const { name } of graph.output) {
    if (!known.has(name)) faults.push(`nothing makes the output '${name}' of '${graph.name}'`);
  }
  for (const { name } of graph.value_info) {
    if (!known.has(name)) faults.push(`there is a shape for '${name}', which nothing makes`);
  }
}

function checkBytes(
  { name, dims, data_type: type, raw_data: data }: TensorProto,
  faults: string[],
): void {
  const size = elementBytes.get(type);
  const expected = dims.reduce((product, dim) => product * dim, size ?? NaN);
  if (data.length !== expected) {
    faults.push(
      `'${name}' has ${data.length} bytes, expected ${expected} for [${dims.join(', ')}]`,
    );
  }
}

const repeated = (names: readonly string[]): string[] =>
  names.filter((name, i) => names.indexOf(name) !== i);
