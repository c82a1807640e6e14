// Ways to write Mamba's selective scan in ONNX, timed by onnxruntime in turn with our own kernel.
//
//   node benchmarks/onnx-scan.mjs [--batches 1,32] [--length 64] [--channels 384] [--states 16] [--threads 2] [--rounds 9]
//       [--only scan,scan-hoisted]
//
// `scan`, `scan-hoisted` and `linear-attention` are what `mamba-prune export` offers. The others:
//   scan-outer-mul   Δ B u by broadcasting, not as a matrix product
//   scan-states-last states innermost, [batch, d_inner, d_state], as the equations are usually written
//   scan-two-steps   two positions per turn of the loop
//   unrolled         no loop: every position has nodes of its own
//   associative      Hillis and Steele's parallel scan, log2(length) passes over all states
// The segment sums of Mamba-2 need one decay per head; here each channel and state has its own. Dividing
// by cumulative products, the other matrix form, overflows float32 for steps as large as trained ones.
import { parseArgs } from 'node:util';
import { F, Generator, fromTypedArray, rand, randn, setNumThreads } from '@mamba-prune/libtorch';
import { benchmarkModels } from 'mamba-prune';
import * as ort from 'onnxruntime-node';

const built = '../packages/mamba-prune/dist/export/onnx';
const { GraphBuilder } = await import(`${built}/graph-builder.js`);
const { Layout } = await import(`${built}/layout.js`);
const { modelOf } = await import(`${built}/model.js`);
const { encodeModel } = await import(`${built}/proto.js`);
const { selectiveScan } = await import(`${built}/selective-scan.js`);
const o = await import(`${built}/operators.js`);

const { values: args } = parseArgs({
  options: {
    batches: { type: 'string', default: '1,32' },
    length: { type: 'string', default: '64' },
    channels: { type: 'string', default: '384' },
    states: { type: 'string', default: '16' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '9' },
    only: { type: 'string', default: '' },
  },
});
const [L, D, N, threads] = [args.length, args.channels, args.states, args.threads].map(Number);
setNumThreads(threads);

// A = -(1, ..., N) for every channel, as at the start of a training.
const A = Float32Array.from({ length: D * N }, (_, i) => -(1 + (i % N)));
const turned = Float32Array.from({ length: N * D }, (_, i) => -(1 + Math.floor(i / D)));
const type = 'float32';

/** A Scan over axis 0. @param body - (graph, states, slices) to [...states, y] */
function loop(g, states, sequences, y, body) {
  const inner = g.at('step').inner();
  const h = states.map((value) => inner.input('h', type, value.shape));
  const slices = sequences.map((value) => inner.input('x', type, value.shape.slice(1)));
  const zeros = sequences.map(() => 0);
  const results = g.nodes('Scan', [...states, ...sequences], [...states, { type, shape: y }], {
    attributes: {
      body: { graph: inner.build('step', body(inner, h, slices)) },
      num_scan_inputs: { int: sequences.length },
      scan_input_axes: { ints: zeros },
      scan_output_axes: { ints: [0] },
    },
  });
  return results.at(-1);
}

const rows = (g, values) => values.map((value) => o.unsqueeze(g, value, 2));
const exp = (g, dt, a) => o.unary(g, 'Exp', o.mul(g, dt, a));

/** Inputs and result are sequences with the length first. */
const forms = {
  scan: (g, inputs, layout) => selectiveScan(g, inputs, layout, 'scan'),
  'scan-hoisted': (g, inputs, layout) => selectiveScan(g, inputs, layout, 'scan-hoisted'),
  'linear-attention': (g, inputs, layout) => selectiveScan(g, inputs, layout, 'linear-attention'),
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

/** LinearAttention takes the batch first; the loops go over the first dimension. */
const firstOf = (name) => (name === 'linear-attention' ? 'batch' : 'length');

function sessionOf(name) {
  const g = new GraphBuilder();
  // Only its size counts: it stands for the images, whose batch the layout asks for.
  const images = g.input('images', 'uint8', ['batch']);
  const layout = new Layout(g, images, firstOf(name));
  const shape = (width) => (layout.axis === 0 ? [L, 'batch', width] : ['batch', L, width]);
  const [delta, deltaU, B, C] = [D, D, N, N].map((width, i) =>
    g.input(inputNames[i], type, shape(width)),
  );
  const weights = { A: { data: A, shape: [D, N] }, reverse: false };
  const y = forms[name](g, { delta, deltaU, B, C, ...weights }, layout);
  const output = g.node('Identity', [y], y, { name: 'y' });
  return ort.InferenceSession.create(encodeModel(modelOf(g, [output], { name })), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
}

const inputNames = ['delta', 'delta_u', 'B', 'C'];

/** The same numbers for every form, [batch, length, width]; steps as large as trained ones. */
function sequences(batch, seed) {
  const generator = new Generator(seed);
  return {
    delta: rand([batch, L, D], { generator }).mul(0.1),
    u: randn([batch, L, D], { generator }),
    B: randn([batch, L, N], { generator }),
    C: randn([batch, L, N], { generator }),
  };
}

const ours = ({ delta, u, B, C }) => F.selectiveScan(u, delta, kernelA, B, C).y;
const kernelA = fromTypedArray(A, [D, N]);

/** A form as `benchmarkModels` takes it, compared with our kernel before it is timed. */
async function foreign(name) {
  const session = await sessionOf(name);
  return {
    name,
    runtime: 'onnxruntime cpu',
    async prepare(batch, seed) {
      const given = sequences(batch, seed);
      const { delta, u, B, C } = given;
      const turned = (x) => (firstOf(name) === 'batch' ? x : x.transpose(0, 1)).contiguous();
      const feeds = { images: new ort.Tensor('uint8', new Uint8Array(batch), [batch]) };
      for (const [i, value] of [delta, delta.mul(u), B, C].entries()) {
        const tensor = turned(value);
        feeds[inputNames[i]] = new ort.Tensor(type, tensor.toTypedArray(), [...tensor.shape]);
      }
      const expected = turned(ours(given));
      const { y } = await session.run(feeds);
      const difference = fromTypedArray(y.data, expected.shape).sub(expected).abs().max().item();
      // Sums of some hundred products of float32 numbers.
      if (!(difference < 1e-4)) throw new Error(`${name}: wrong by ${difference}`);
      return () => session.run(feeds);
    },
  };
}

const names = args.only === '' ? Object.keys(forms) : args.only.split(',');
const models = await Promise.all(names.map(foreign));
for (const batch of args.batches.split(',').map(Number)) {
  const given = sequences(batch, 0);
  const kernel = { name: 'our kernel', forward: () => ours(given) };
  const results = await benchmarkModels([...models, kernel], {
    batches: [batch],
    inputShape: [1],
    rounds: Number(args.rounds),
  });
  for (const { model, medianMs, p10Ms, p90Ms, speedup } of results) {
    const spread = `${speedup.q1.toFixed(2)} to ${speedup.q3.toFixed(2)}`;
    console.log(
      `batch ${String(batch).padStart(3)}  ${model.padEnd(18)} ${medianMs.toFixed(2).padStart(8)} ms ` +
        `(${p10Ms.toFixed(2)} to ${p90Ms.toFixed(2)})  ${speedup.median.toFixed(2)}x (${spread})`,
    );
  }
}
