// Beside the page's own thread: decodes a picture, and has the model classify it.
import type { Picture } from 'mamba-prune/preparation';
import { type Model, type Provider, openModel } from './model.js';

export interface Request {
  /** Address of the .onnx file. */
  readonly url: string;
  readonly provider: Provider;
  /** Without one the model is only loaded. */
  readonly picture: File | undefined;
}

export interface Reply {
  readonly error?: string;
  readonly threads?: number;
  /** The five likeliest classes; times in milliseconds. */
  readonly answer?: { best: readonly Guess[]; runMs: number; otherMs: number };
}

export interface Guess {
  readonly name: string;
  readonly probability: number;
}

const models = new Map<Provider, Model>();

async function reply({ url, provider, picture }: Request): Promise<Reply> {
  const model = models.get(provider) ?? (await openModel(url, provider));
  models.set(provider, model);
  const { threads, classes } = model;
  if (!picture) return { threads };
  const started = performance.now();
  const { probabilities, runMs } = await model.run(await decode(picture));
  const otherMs = performance.now() - started - runMs;
  const best = Array.from(probabilities, (probability, i) => ({
    name: classes[i] ?? `class ${i}`,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 5);
  return { threads, answer: { best, runMs, otherMs } };
}

/** In full size and without colour conversion: what makes it small is the model's own preparation. */
async function decode(file: File): Promise<Picture> {
  const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' } as const;
  const bitmap = await createImageBitmap(file, options).catch((cause: unknown) => {
    const message = `${file.name} is no picture that this browser reads. Try a JPEG, PNG or WebP.`;
    throw new Error(message, { cause });
  });
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(4 * width * height);
  // In strips: browsers bound the area of a canvas, some at 16 megapixels.
  const rows = Math.ceil(4_000_000 / width);
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    const context = new OffscreenCanvas(width, count).getContext('2d');
    if (!context) throw new Error('This browser gives no canvas to decode pictures with.');
    context.drawImage(bitmap, 0, -top);
    data.set(context.getImageData(0, 0, width, count).data, 4 * width * top);
  }
  bitmap.close();
  return { data, width, height, channels: 4 };
}

// One after the other: onnxruntime takes one call at a time.
let last = Promise.resolve();
self.addEventListener('message', ({ data }: MessageEvent<Request>) => {
  last = last
    .then(() => reply(data))
    .catch((error: unknown): Reply => ({ error: (error as Error).message }))
    .then((answer) => {
      self.postMessage(answer);
    });
});
