// The exported model in onnxruntime-web, with what its file says of classes and of preparing pictures.
import * as preparation from 'mamba-prune/preparation';
import gpuBinary from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm';
import cpuBinary from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import protobuf from 'protobufjs/minimal.js';
import * as z from 'zod/mini';

export type Provider = 'wasm' | 'webgpu';

export interface Model {
  readonly classes: readonly string[];
  /** Of the processor; 1 unless the server isolates the page. */
  readonly threads: number;
  /** @returns the probability of each class, and the milliseconds that the model alone took */
  run(picture: preparation.Picture): Promise<{ probabilities: Float32Array; runMs: number }>;
}

/** @throws Error in a sentence if there is no model, if it is none of mamba-prune, or if onnxruntime-web does not start */
export async function openModel(url: string, provider: Provider): Promise<Model> {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(
      `There is no model at ${url} (status ${response.status}). ` +
        'Write one with: npm run model -- RUN, or models:NAME of a trained one (npx mamba-prune models)',
    );
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { classes, ...info } = describe(bytes, url);
  const { session, ort } = await start(bytes, provider);
  const [images] = session.inputMetadata;
  const [, channels, , size] = images?.isTensor === true ? images.shape : [];
  if (!images?.isTensor || images.type !== 'uint8' || !isNumber(channels) || !isNumber(size)) {
    throw new Error(`${url} takes no images of uint8. Export it with --input uint8, the default.`);
  }
  const settings = preparation.preprocessingOf(info, size);
  const run: Model['run'] = async (picture) => {
    const pixels = preparation.prepare(picture, { channels, size }, settings);
    const input = new ort.Tensor('uint8', pixels, [1, channels, size, size]);
    const started = performance.now();
    const { probabilities } = await session.run({ images: input }, ['probabilities']);
    const runMs = performance.now() - started;
    return { probabilities: probabilities?.data as Float32Array, runMs };
  };
  // The first run takes longer than all others.
  await run({ data: new Uint8Array(3), width: 1, height: 1, channels: 3 });
  return { classes, threads: ort.env.wasm.numThreads ?? 1, run };
}

const isNumber = (value: unknown): value is number => typeof value === 'number';

/** Each runtime is fetched when it is first chosen: 14 MB for the processor, 27 MB with WebGPU. */
async function start(model: Uint8Array, provider: Provider) {
  const isGpu = provider === 'webgpu';
  try {
    const ort = await (isGpu ? import('onnxruntime-web/webgpu') : import('onnxruntime-web/wasm'));
    const binary = new URL(isGpu ? gpuBinary : cpuBinary, import.meta.url);
    ort.env.wasm.wasmPaths = { wasm: binary.href };
    // Threads share memory, which browsers give to isolated pages alone.
    ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
    const options = { executionProviders: [provider], logSeverityLevel: 3 } as const;
    return { ort, session: await ort.InferenceSession.create(model, options) };
  } catch (error) {
    throw new Error(
      `onnxruntime-web did not start on ${provider} (${String(error)}). It needs the .wasm files of ` +
        `dist/ on the server, and a browser with ${isGpu ? 'WebGPU' : 'WebAssembly'}.`,
      { cause: error },
    );
  }
}

const infoSchema = z.object({
  dataset: z.optional(z.string()),
  preprocessing: z.optional(
    z.object({
      interpolation: z.enum(preparation.interpolations),
      cropShare: z.number().check(z.gte(preparation.leastCropShare), z.lte(1)),
    }),
  ),
});

function describe(bytes: Uint8Array, url: string) {
  try {
    const metadata = metadataOf(bytes);
    const read = (key: string): unknown => JSON.parse(metadata.get(key) ?? 'null');
    const classes = z.array(z.string()).parse(read('classes'));
    return { ...infoSchema.parse(read('mamba_prune')), classes };
  } catch (error) {
    throw new Error(`${url} is no file of mamba-prune export --format onnx.`, { cause: error });
  }
}

/** What onnxruntime-web does not tell: field 14 of ONNX's ModelProto, entries of a key (1) and a value (2). */
function metadataOf(bytes: Uint8Array): Map<string, string> {
  const entries = new Map<string, string>();
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >> 3 === 14) {
      const entry = protobuf.Reader.create(reader.bytes());
      const texts = ['', '', ''];
      while (entry.pos < entry.len) texts[entry.uint32() >> 3] = entry.string();
      entries.set(texts[1] ?? '', texts[2] ?? '');
    } else reader.skipType(tag & 7);
  }
  return entries;
}
