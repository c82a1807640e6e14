// The recurrence of Mamba, h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t and y_t = C_t h_t, in operators that a
// runtime has. benchmarks/onnx-scan.mjs compares them with others.
import type { ScanOp } from './choices.js';
import type { GraphBuilder, Value } from './graph-builder.js';
import { type Weight, transposed } from './layers.js';
import type { Layout } from './layout.js';
import { adaptiveScan } from './one-image-scan.js';
import { add, matMul, mul, reshape, reversed, squeeze, unary, unsqueeze } from './operators.js';
import { scanLoop } from './scan-loop.js';

export interface ScanInputs {
  /** Δ after softplus: a sequence of the layout, d_inner wide. */
  readonly delta: Value;
  /** Δ u, the same shape. */
  readonly deltaU: Value;
  /** Sequences d_state wide. */
  readonly B: Value;
  readonly C: Value;
  /** -exp(A_log), shape [d_inner, d_state]. */
  readonly A: Weight;
  /** From the last position to the first. */
  readonly reverse: boolean;
}

/** @returns y without the skip D u, shaped as delta */
export function selectiveScan(
  g: GraphBuilder,
  inputs: ScanInputs,
  layout: Layout,
  op: ScanOp,
): Value {
  if (op === 'linear-attention') return linearAttention(g, inputs);
  const { data, shape } = transposed(inputs.A);
  const a = g.constant('A', 'float32', data, shape);
  const plain = (at: GraphBuilder): Value => scan(at, inputs, a, layout);
  return op === 'scan' ? plain(g) : adaptiveScan(g, inputs, a, layout, plain);
}

/**
 * Channels are the innermost dimension, [batch, d_state, d_inner]: runtimes broadcast their long rows
 * several times faster than the few states of a channel.
 * @param a - [d_state, d_inner]
 */
function scan(
  g: GraphBuilder,
  { delta, deltaU, B, C, reverse }: ScanInputs,
  a: Value,
  layout: Layout,
): Value {
  // Of one position Δ, Δ u and C are rows, B is a column.
  const sequences = {
    delta: unsqueeze(g, delta, 2),
    deltaU: unsqueeze(g, deltaU, 2),
    B: unsqueeze(g, B, 3),
    C: unsqueeze(g, C, 2),
  };
  const y = scanLoop(g, {
    initial: layout.zeros(a.shape as number[]),
    sequences,
    reverse,
    step(body, h, at) {
      const decay = unary(body, 'Exp', mul(body, at.delta, a));
      const input = matMul(body, at.B, at.deltaU);
      const next = add(body, mul(body, decay, h), input, { name: 'h_next' });
      return { next, output: matMul(body, at.C, next, { name: 'y' }) };
    },
  });
  return squeeze(g, y, 2);
}

/**
 * Gated linear attention, S_t = exp(g_t) S_{t-1} + k_t v_tᵀ and o_t = q_t S_t, with a head of keys for
 * each channel: d_inner heads whose keys are the d_state numbers of B, and whose value is Δ u.
 */
function linearAttention(g: GraphBuilder, { delta, deltaU, B, C, A, reverse }: ScanInputs): Value {
  const [dInner, dState] = A.shape as [number, number];
  const turn = (x: Value): Value => (reverse ? reversed(g, x, 1) : x);
  const a = g.constant('A', 'float32', A.data, A.shape);
  const [batch = 1, length = 1] = delta.shape;
  const gates = mul(g, unsqueeze(g, turn(delta), 3), a);
  const decay = reshape(g, gates, [batch, length, dInner * dState]);
  const [y] = g.nodes(
    'LinearAttention',
    [turn(C), turn(B), turn(deltaU), undefined, decay],
    [delta, { type: 'float32', shape: [batch, dInner, dState, 1] }],
    {
      domain: 'com.microsoft',
      attributes: {
        update_rule: { text: 'gated' },
        q_num_heads: { int: 1 },
        kv_num_heads: { int: dInner },
        scale: { float: 1 },
      },
    },
  );
  return turn(y as Value);
}
