// The ways that onnx-scan.mjs times.
//
// `scan`, `scan-adaptive` and `linear-attention` are what `mamba-prune export` offers; `scan-adaptive` differs from
// `scan` for one image of a narrow model. The others:
//   hoisted          what does not depend on the position before is computed before the loop, for all of them
//   hoisted-groups   the same for eight positions at a time: a loop inside a loop
//   chunked          hoisted; eight positions of all chunks at once, then the carries from chunk to chunk, and
//                    the eight positions again
//   scan-outer-mul   Δ B u by broadcasting, not as a matrix product
//   scan-states-last states innermost, [batch, d_inner, d_state], as the equations are usually written
//   scan-two-steps   two positions per turn of the loop
//   unrolled         no loop: every position has nodes of its own
//   associative      Hillis and Steele's parallel scan, log2(length) passes over all states
// The segment sums of Mamba-2 need one decay per head; here each channel and state has its own. Dividing
// by cumulative products, the other matrix form, overflows float32 for steps as large as trained ones.
import * as o from 'mamba-prune/onnx';

const type = 'float32';

/** Positions of a chunk or group; the length must be a multiple of it. */
export const chunk = 8;

/** In the order in which they are timed. */
export const formNames = [
  ...['scan', 'scan-adaptive', 'linear-attention', 'hoisted', 'hoisted-groups', 'chunked'],
  ...['scan-outer-mul', 'scan-states-last', 'scan-two-steps', 'unrolled', 'associative'],
];

/**
 * @param A - [channels, states], row by row
 * @returns functions of (graph, inputs, layout) by name; inputs and result are sequences with the length first
 */
export function scanForms({ length: L, channels: D, states: N, A }) {
  const turned = Float32Array.from({ length: N * D }, (_, i) => A[(i % D) * N + Math.floor(i / D)]);
  /** A Scan over axis 0. @param body - (graph, states, slices) to [...states, y]; @returns y */
  const loop = (...parameters) => loops(...parameters).at(-1);

  /** @returns [...states, y] */
  function loops(g, states, sequences, y, body) {
    const inner = g.at('step').inner();
    const h = states.map((value) => inner.input('h', type, value.shape));
    const slices = sequences.map((value) => inner.input('x', type, value.shape.slice(1)));
    const zeros = sequences.map(() => 0);
    return g.nodes('Scan', [...states, ...sequences], [...states, { type, shape: y }], {
      attributes: {
        body: { graph: inner.build('step', body(inner, h, slices)) },
        num_scan_inputs: { int: sequences.length },
        scan_input_axes: { ints: zeros },
        scan_output_axes: { ints: [0] },
      },
    });
  }

  const apart = (g, x, parts) => o.split(g, x, 0, Array(parts).fill(x.shape[0] / parts));

  const rows = (g, values) => values.map((value) => o.unsqueeze(g, value, 2));
  /** Decays and inputs of all positions, [length, batch, N, D]. */
  function hoisted(g, { delta, deltaU, B, C }) {
    const [dt, dtu, c] = rows(g, [delta, deltaU, C]);
    const decay = exp(g, dt, g.constant('A', type, turned, [N, D]));
    return { decay, input: o.matMul(g, o.unsqueeze(g, B, 3), dtu), c };
  }

  const exp = (g, dt, a) => o.unary(g, 'Exp', o.mul(g, dt, a));

  return {
    scan: (g, inputs, layout) => o.selectiveScan(g, inputs, layout, 'scan'),
    'scan-adaptive': (g, inputs, layout) => o.selectiveScan(g, inputs, layout, 'scan-adaptive'),
    'linear-attention': (g, inputs, layout) =>
      o.selectiveScan(g, inputs, layout, 'linear-attention'),
    hoisted(g, inputs, layout) {
      const { decay, input, c } = hoisted(g, inputs);
      const flat = (value) => o.reshape(g, value, [L, 'all']);
      const zeros = o.reshape(g, layout.zeros([N, D]), ['all']);
      const kept = loop(g, [zeros], [decay, input].map(flat), [L, 'all'], (i, [h], [a, b]) => {
        const product = o.mul(i, a, h);
        return [o.add(i, product, b), product];
      });
      const h = o.add(g, o.reshape(g, kept, decay.shape), input);
      return o.squeeze(g, o.matMul(g, c, h), 2);
    },
    'hoisted-groups'(g, { delta, deltaU, B, C }, layout) {
      const grouped = [delta, deltaU, B, C].map((x) =>
        o.reshape(g, x, [L / chunk, chunk, ...x.shape.slice(1)]),
      );
      const y = loop(g, [layout.zeros([N, D])], grouped, grouped[0].shape, (i, [h], slices) => {
        const [dt, dtu, b, ct] = slices;
        const { decay, input, c } = hoisted(i, { delta: dt, deltaU: dtu, B: b, C: ct });
        const shape = [chunk, layout.batch, 1, D];
        const [next, inner] = loops(i, [h], [decay, input, c], shape, (j, [state], [a, x, row]) => {
          const following = o.add(j, o.mul(j, a, state), x);
          return [following, o.matMul(j, row, following)];
        });
        return [next, o.squeeze(i, inner, 2)];
      });
      return o.reshape(g, y, delta.shape);
    },
    chunked(g, { delta, deltaU, B, C }, layout) {
      // [L, batch, width] to [positions of a chunk, chunks * batch, width].
      const count = L / chunk;
      const turned = ([first, second], x) => {
        const apart = o.reshape(g, x, [first, second, layout.batch, x.shape[2]]);
        return o.transpose(g, apart, [1, 0, 2, 3]);
      };
      const parts = [delta, deltaU, B, C].map((x) =>
        o.reshape(g, turned([count, chunk], x), [chunk, 'rows', x.shape[2]]),
      );
      const [dt, dtu, b, ct] = parts;
      const { decay, input, c } = hoisted(g, { delta: dt, deltaU: dtu, B: b, C: ct });
      const [decays, inputs] = [decay, input].map((x) => apart(g, x, chunk));
      const step = (h, at) => o.add(g, o.mul(g, decays[at], h), inputs[at]);
      let h = inputs[0];
      for (let at = 1; at < chunk; at++) h = step(h, at);
      // The decay of a whole chunk: a product of numbers below 1.
      const whole = decays.reduce((product, each) => o.mul(g, product, each));
      const [lasts, wholes] = [h, whole].map((x) =>
        apart(g, o.reshape(g, x, [count, layout.batch, N, D]), count),
      );
      const carries = [o.unsqueeze(g, layout.zeros([N, D]), 0)];
      for (let at = 0; at < count - 1; at++) {
        const passed = at === 0 ? lasts[0] : o.add(g, o.mul(g, wholes[at], carries[at]), lasts[at]);
        carries.push(passed);
      }
      h = o.reshape(g, o.concat(g, carries, 0), [1, 'rows', N, D]);
      const states = decays.map((_, at) => (h = step(h, at)));
      const y = o.squeeze(g, o.matMul(g, c, o.concat(g, states, 0)), 2);
      const back = turned([chunk, count], o.reshape(g, y, [L, layout.batch, D]));
      return o.reshape(g, back, delta.shape);
    },
    'scan-outer-mul'(g, { delta, deltaU, B, C }, layout) {
      const a = g.constant('A', type, turned, [N, D]);
      const [dt, dtu, c] = rows(g, [delta, deltaU, C]);
      const b = o.unsqueeze(g, B, 3);
      const y = loop(
        g,
        [layout.zeros([N, D])],
        [dt, dtu, b, c],
        dt.shape,
        (i, [h], [d, x, bt, ct]) => {
          const next = o.add(i, o.mul(i, exp(i, d, a), h), o.mul(i, bt, x));
          return [next, o.matMul(i, ct, next)];
        },
      );
      return o.squeeze(g, y, 2);
    },
    'scan-states-last'(g, { delta, deltaU, B, C }, layout) {
      const a = g.constant('A', type, A, [D, N]);
      const [dt, dtu, c] = [delta, deltaU, C].map((value) => o.unsqueeze(g, value, 3));
      const b = o.unsqueeze(g, B, 2);
      const y = loop(
        g,
        [layout.zeros([D, N])],
        [dt, dtu, b, c],
        dt.shape,
        (i, [h], [d, x, bt, ct]) => {
          const next = o.add(i, o.mul(i, exp(i, d, a), h), o.mul(i, x, bt));
          return [next, o.matMul(i, next, ct)];
        },
      );
      return o.squeeze(g, y, 3);
    },
    'scan-two-steps'(g, { delta, deltaU, B, C }, layout) {
      const a = g.constant('A', type, turned, [N, D]);
      // [L, batch, ...] to [L / 2, 2, batch, ...], whose halves are taken apart in the body.
      const pairs = [delta, deltaU, B, C].map((value) =>
        o.reshape(g, value, [L / 2, 2, ...value.shape.slice(1)]),
      );
      const shape = [L / 2, 2, layout.batch, D];
      const y = loop(g, [layout.zeros([N, D])], pairs, shape, (i, [h], slices) => {
        const parts = slices.map((value) =>
          o.split(i, value, 0, [1, 1]).map((part) => o.squeeze(i, part, 0)),
        );
        let state = h;
        const ys = [0, 1].map((at) => {
          const [d, x, b, c] = parts.map((part) => part[at]);
          const outer = o.matMul(i, o.unsqueeze(i, b, 2), o.unsqueeze(i, x, 1));
          state = o.add(i, o.mul(i, exp(i, o.unsqueeze(i, d, 1), a), state), outer);
          return o.matMul(i, o.unsqueeze(i, c, 1), state);
        });
        const both = o.transpose(i, o.concat(i, ys, 1), [1, 0, 2]);
        return [state, both];
      });
      return o.reshape(g, y, delta.shape);
    },
    unrolled(g, { delta, deltaU, B, C }) {
      const a = g.constant('A', type, turned, [N, D]);
      const apart = (value) =>
        o.split(g, value, 0, Array(L).fill(1)).map((part) => o.squeeze(g, part, 0));
      const [dts, dtus, cs] = rows(g, [delta, deltaU, C]).map(apart);
      const bs = apart(o.unsqueeze(g, B, 3));
      let h;
      const ys = dts.map((dt, l) => {
        const x = o.matMul(g, bs[l], dtus[l]);
        h = h ? o.add(g, o.mul(g, exp(g, dt, a), h), x) : x;
        return o.unsqueeze(g, o.matMul(g, cs[l], h), 0);
      });
      return o.squeeze(g, o.concat(g, ys, 0), 2);
    },
    associative(g, { delta, deltaU, B, C }) {
      const [dt, dtu, c] = rows(g, [delta, deltaU, C]);
      let decay = exp(g, dt, g.constant('A', type, turned, [N, D]));
      let h = o.mul(g, o.unsqueeze(g, B, 3), dtu);
      for (let step = 1; step < L; step *= 2) {
        const cut = (value) => o.split(g, value, 0, [step, L - step]);
        const before = (value) => o.split(g, value, 0, [L - step, step])[0];
        const [[hHead, hTail], [decayHead, decayTail]] = [cut(h), cut(decay)];
        h = o.concat(g, [hHead, o.add(g, hTail, o.mul(g, decayTail, before(h)))], 0);
        decay = o.concat(g, [decayHead, o.mul(g, decayTail, before(decay))], 0);
      }
      return o.squeeze(g, o.matMul(g, c, h), 2);
    },
  };
}
