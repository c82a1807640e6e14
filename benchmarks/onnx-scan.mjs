// Ways to write Mamba's selective scan in ONNX, timed by onnxruntime in turn with our own kernel.
//
//   node benchmarks/onnx-scan.mjs [--batches 1,32] [--length 64] [--channels 384] [--states 16] [--threads 2] [--rounds 9]
//       [--only scan,scan-adaptive]
//
// onnx-scan-forms.mjs says what they are.
import { F, Generator, fromTypedArray, rand, randn, setNumThreads } from '@mamba-prune/libtorch';
import { benchmarkModels } from 'mamba-prune';
import { GraphBuilder, Layout, encodeModel, modelOf } from 'mamba-prune/onnx';
import {
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { inMs } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';
import { chunk, formNames, scanForms } from './onnx-scan-forms.mjs';
import { printedTable } from './printed-table.mjs';

const { values: args } = readFlags({
  batches: { type: 'string', default: '1,32', value: listOf(whole()) },
  length: { type: 'string', default: '64', value: whole() },
  channels: { type: 'string', default: '384', value: whole() },
  states: { type: 'string', default: '16', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  rounds: { type: 'string', default: '9', value: whole() },
  only: { type: 'string', value: listOf(oneOf(...formNames)) },
});
const [L, D, N, threads] = [args.length, args.channels, args.states, args.threads].map(Number);
const names = args.only ? wordsOf(args.only) : formNames;
if (L % chunk !== 0) refuse(`--length: got '${L}', expected a multiple of ${chunk}`);
const ort = await import('onnxruntime-node').catch(() => {
  throw new Error('onnxruntime-node is not installed. npm install brings it.');
});
setNumThreads(threads);

// A = -(1, ..., N) for every channel, as at the start of a training.
const A = Float32Array.from({ length: D * N }, (_, i) => -(1 + (i % N)));
const type = 'float32';
const forms = scanForms({ length: L, channels: D, states: N, A });

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

const models = await Promise.all(names.map(foreign));
const rows = [];
for (const batch of numbersOf(args.batches)) {
  const given = sequences(batch, 0);
  const kernel = { name: 'our kernel', forward: () => ours(given) };
  const results = await benchmarkModels([...models, kernel], {
    batches: [batch],
    inputShape: [1],
    rounds: Number(args.rounds),
  });
  rows.push(...results);
  console.error(`batch ${batch}: done`);
}
const more = [`length ${L}, ${D} channels, ${N} states`, counted(args.rounds, 'round')];
console.log(`${factsOf({ threads, more })}.\n`);
const columns = [
  { title: 'what', cell: ({ model, batch }) => `${model}, batch ${batch}`, left: true },
  { title: 'time', cell: ({ medianMs }) => inMs(medianMs) },
  { title: '10% to 90%', cell: ({ p10Ms, p90Ms }) => `${inMs(p10Ms)} to ${inMs(p90Ms)}` },
  {
    title: `times as fast as ${names[0]} (quartiles)`,
    cell: ({ speedup: { median, q1, q3 } }) =>
      `${median.toFixed(2)}x (${q1.toFixed(2)} to ${q3.toFixed(2)})`,
  },
];
console.log(printedTable(columns, rows));
