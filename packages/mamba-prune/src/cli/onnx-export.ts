// What `export --format onnx` does and says.
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import type { Verification } from '../export/onnx/verify.js';
import type { Dataset } from '../data/types.js';
import type { Context } from './context.js';
import type { CommonOptions } from './options/common.js';
import type { OnnxFlags } from './options/onnx.js';
import { digits, plural } from './terminal/format.js';

type OnnxContext = Context<CommonOptions & OnnxFlags & { readonly out: string }>;

export interface OnnxOutcome {
  /** What the file was compared on. */
  readonly verifiedOn: string | null;
  readonly verification: Verification | null;
}

/** Images that a file is compared on where a data set is at hand. */
const comparedImages = 16;

/** Writes the file, or fails and leaves none. */
export async function writeOnnx(
  context: OnnxContext,
  model: ImageModel,
  info: ModelInfo,
): Promise<OnnxOutcome> {
  const { options, given } = context;
  const { exportOnnx } = await import('../export/onnx/export-onnx.js');
  const dataset = await datasetFor(context, model, info);
  const images = dataset && (await firstImages(dataset));
  const { verification = null } = await exportOnnx(options.out, model, info, {
    verify: options.verify,
    ...(given.input && { input: given.input }),
    ...(given.scanOp && { scanOp: given.scanOp }),
    ...(images && { images }),
  });
  const verifiedOn = dataset ? `test images of ${dataset.info.name}` : 'made-up images';
  return { verification, verifiedOn: verification && verifiedOn };
}

/** The data set asked for, or the model's own where it needs no folder. */
async function datasetFor(
  context: OnnxContext,
  model: ImageModel,
  info: ModelInfo,
): Promise<Dataset | undefined> {
  const { options } = context;
  const own = info.dataset === 'fashion-mnist' ? info.dataset : undefined;
  const name = options.dataset ?? (options.data === undefined ? own : info.dataset);
  if (name === undefined) return undefined;
  const { openDataFor, withModelInfo } = await import('../workflows/fit.js');
  const found = await openDataFor(
    model,
    { dataset: name, data: options.data },
    {
      onNote: (text) => {
        context.note(text);
      },
    },
  );
  return withModelInfo(found, info);
}

async function firstImages({ test }: Dataset): Promise<Uint8Array> {
  const count = Math.min(comparedImages, test.length);
  // Evenly over the split, which may be sorted by class.
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * test.length) / count));
  return test.read(indices);
}

export function printOnnx(context: Context, { verification, verifiedOn }: OnnxOutcome): void {
  if (!verification) {
    context.note('The file was not run: --no-verify was given.');
    return;
  }
  const { images, maxDifference, maxLogit } = verification;
  context.facts([
    ['checked', `onnxruntime, ${plural(images, 'image')} (${verifiedOn ?? ''})`],
    ['logits', `differ by at most ${digits(maxDifference)}, the largest is ${digits(maxLogit)}`],
  ]);
}
