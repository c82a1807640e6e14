import { describe, expect, it } from 'vitest';
import { checkModel } from './check-model.js';
import { GraphBuilder } from './graph-builder.js';
import { modelOf } from './model.js';
import { add, matMul, reshape, unary } from './operators.js';
import type { ModelProto } from './messages.js';

function small(): ModelProto {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['batch', 2]);
  const weight = g.constant('weight', 'float32', [1, 2, 3, 4], [2, 2]);
  const y = unary(g, 'Relu', add(g, matMul(g, x, weight), x), { name: 'y' });
  return modelOf(g, [y], { name: 'small' });
}

type Graph = ModelProto['graph'];
const withGraph = (change: (graph: Graph) => Partial<Graph>): ModelProto => {
  const model = small();
  return { ...model, graph: { ...model.graph, ...change(model.graph) } };
};

describe('checkModel', () => {
  it('takes a sound model', () => {
    expect(() => {
      checkModel(small());
    }).not.toThrow();
  });

  it.each([
    [
      'a value that is used before it is made',
      withGraph(({ node }) => ({ node: node.toReversed() })),
      /'y' \(Relu\) takes 'Add', which nothing before it makes/,
    ],
    [
      'a value that is made twice',
      withGraph(({ initializer }) => ({ initializer: [...initializer, ...initializer] })),
      /'weight' is made twice/,
    ],
    [
      'two nodes of one name',
      withGraph(({ node }) => ({ node: node.map((each) => ({ ...each, name: 'n' })) })),
      /two nodes are called 'n'/,
    ],
    [
      'an operator set that is not imported',
      { ...small(), opset_import: [{ domain: 'com.microsoft', version: 1 }] },
      /is of operator set '', which is not imported/,
    ],
    [
      'a weight whose bytes do not fit its shape',
      withGraph(({ initializer }) => ({
        initializer: initializer.map((each) => ({ ...each, dims: [2, 3] })),
      })),
      /'weight' has 16 bytes, expected 24 for \[2, 3\]/,
    ],
    [
      'an output that nothing makes',
      withGraph(({ node }) => ({ node: node.slice(0, -1) })),
      /nothing makes the output 'y'/,
    ],
  ])('names %s', (_, model, message) => {
    expect(() => {
      checkModel(model);
    }).toThrow(message);
  });
});

describe('GraphBuilder', () => {
  it('refuses values that do not fit together, by their names', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['batch', 4, 3]);
    const weight = g.constant('weight', 'float32', new Float32Array(10), [2, 5]);
    expect(() => matMul(g, x, weight)).toThrow(
      'ONNX MatMul: "x" of float32 [batch, 4, 3] and "weight" of float32 [2, 5] do not fit together.',
    );
    expect(() => g.constant('other', 'float32', [1, 2], [3])).toThrow(
      /"other": got 2 numbers, expected 3 for shape \[3\]/,
    );
  });

  it('gives every value a name of its own, below its prefix', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', [2, 6]);
    const here = g.at('blocks.0');
    const names = [reshape(here, x, [3, 4]), reshape(here, x, [4, 3])].map(({ name }) => name);
    expect(names).toEqual(['blocks.0.Reshape', 'blocks.0.Reshape_2']);
  });
});
