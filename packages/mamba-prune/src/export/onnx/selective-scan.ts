// The recurrence of Mamba, h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t and y_t = C_t h_t, in operators that a
// runtime has. benchmarks/onnx-scan.mjs compares them with others.
import type { ScanOp } from './choices.js';
import type { GraphBuilder, Shape, Value } from './graph-builder.js';
import { type Weight, transposed } from './layers.js';
import type { Layout } from './layout.js';
import { add, matMul, mul, reshape, reversed, squeeze, unary, unsqueeze } from './operators.js';

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
  return op === 'linear-attention' ? linearAttention(g, inputs) : scan(g, inputs, layout, op);
}

/**
 * Channels are the innermost dimension, [batch, d_state, d_inner]: runtimes broadcast their long rows
 * several times faster than the few states of a channel.
 */
function scan(
  g: GraphBuilder,
  { delta, deltaU, B, C, A, reverse }: ScanInputs,
  layout: Layout,
  op: Exclude<ScanOp, 'linear-attention'>,
): Value {
  const { data, shape: sizes } = transposed(A);
  const a = g.constant('A', 'float32', data, sizes);
  const decayOf = (at: GraphBuilder, dt: Value): Value => unary(at, 'Exp', mul(at, dt, a));
  const isHoisted = op === 'scan-hoisted';
  // Of one position Δ, Δ u and C are rows, B is a column.
  const delta4 = unsqueeze(g, delta, 2);
  const sequences = [
    isHoisted ? decayOf(g, delta4) : delta4,
    unsqueeze(g, deltaU, 2),
    unsqueeze(g, B, 3),
    unsqueeze(g, C, 2),
  ];
  const state: Shape = [layout.batch, ...sizes];

  const body = g.at('step').inner();
  const h = body.input('h', 'float32', state);
  const names = [isHoisted ? 'decay' : 'delta', 'delta_u', 'B', 'C'];
  const [dt, dtu, b, c] = sequences.map(({ shape }, i) =>
    body.input(names[i] as string, 'float32', shape.toSpliced(layout.axis, 1)),
  ) as [Value, Value, Value, Value];
  const decay = isHoisted ? dt : decayOf(body, dt);
  const next = add(body, mul(body, decay, h), matMul(body, b, dtu), { name: 'h_next' });
  const y = matMul(body, c, next, { name: 'y' });

  const each = (value: number) => ({ ints: sequences.map(() => value) });
  const direction = Number(reverse);
  const results = g.nodes(
    'Scan',
    [layout.zeros(sizes), ...sequences],
    [{ type: 'float32', shape: state }, delta4],
    {
      attributes: {
        body: { graph: body.build(`${h.name}.step`, [next, y]) },
        num_scan_inputs: { int: sequences.length },
        scan_input_axes: each(layout.axis),
        scan_input_directions: each(direction),
        scan_output_axes: { ints: [layout.axis] },
        scan_output_directions: { ints: [direction] },
      },
    },
  );
  return squeeze(g, results[1] as Value, 2);
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
