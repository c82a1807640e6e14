// The scan for one image of a narrow model. There a loop takes as long as its nodes take to start, so all that
// does not depend on the position before is computed for all positions at once, and two nodes remain in it.
import type { GraphBuilder, Value } from './graph-builder.js';
import type { Layout } from './layout.js';
import { add, matMul, mul, reshape, unary } from './operators.js';
import { scanLoop } from './scan-loop.js';
import type { ScanInputs } from './selective-scan.js';

/**
 * Numbers in the decays of an image, length * d_state * d_inner, up to which it pays: 1 MiB. Wider blocks
 * leave the processor's cache, and the plain loop is faster.
 */
const narrow = 2 ** 18;

/**
 * `If` there is one image, the scan below, otherwise the plain one; that alone in blocks that are not narrow.
 * @param a - as a constant of the graph, [d_state, d_inner]
 * @param plain - makes the scan for any batch
 */
export function adaptiveScan(
  g: GraphBuilder,
  inputs: ScanInputs,
  a: Value,
  layout: Layout,
  plain: (g: GraphBuilder) => Value,
): Value {
  const [length, dState, dInner] = sizesOf(inputs, a);
  if (length * dState * dInner > narrow) return plain(g);
  const branch = (name: string, scan: (g: GraphBuilder) => Value) => {
    const inner = g.at(name).inner();
    return { graph: inner.build(name, [scan(inner)]) };
  };
  return g.node('If', [layout.isOneImage()], inputs.delta, {
    attributes: {
      then_branch: branch('one_image', (inner) => oneImageScan(inner, inputs, a, layout)),
      else_branch: branch('batch', plain),
    },
  });
}

/**
 * Every value has fixed sizes, and a state is one row of d_state * d_inner numbers: of such the runtime
 * starts a node fastest.
 * @returns y without the skip D u, [length, 1, d_inner]
 */
function oneImageScan(g: GraphBuilder, inputs: ScanInputs, a: Value, layout: Layout): Value {
  const { delta, deltaU, B, C, reverse } = inputs;
  const [length, dState, dInner] = sizesOf(inputs, a);
  const flat = (x: Value): Value => reshape(g, x, [length, dState * dInner]);
  const row = (x: Value): Value => reshape(g, x, [length, 1, dInner]);
  const decay = flat(unary(g, 'Exp', mul(g, row(delta), a)));
  const input = flat(matMul(g, reshape(g, B, [length, dState, 1]), row(deltaU)));
  // The state itself would have to be copied to be a result of the loop too; what it keeps of the one before
  // is a result already.
  const kept = scanLoop(g, {
    initial: reshape(g, layout.zeros([dState, dInner]), [dState * dInner]),
    sequences: { decay, input },
    reverse,
    step(body, h, slices) {
      const output = mul(body, slices.decay, h);
      return { next: add(body, output, slices.input), output };
    },
  });
  const states = reshape(g, add(g, kept, input), [length, dState, dInner]);
  return matMul(g, reshape(g, C, [length, 1, dState]), states);
}

const sizesOf = ({ delta }: ScanInputs, a: Value) =>
  [delta.shape[0], ...a.shape] as [length: number, dState: number, dInner: number];
