// What `export --format onnx` does and says.
import { statSync } from 'node:fs';
import { UsageError } from '../errors.js';
import type { Dataset } from '../data/types.js';
import type { BuildOptions } from '../export/build-model.js';
import { type ScanOp, scanOpFor } from '../onnx/choices.js';
import { isRounded, precisionName } from '../export/tolerance.js';
import type { Verification } from '../export/verify.js';
import { families, familyNamed } from '../models/families.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import type { Context } from './context.js';
import type { OpenedModel } from './open-model.js';
import type { CommonOptions } from './options/common.js';
import type { OnnxFlags } from './options/onnx.js';
import { bytes, digits, percent, plural } from '../format.js';
import { interruptible } from './work.js';

export type OnnxContext = Context<CommonOptions & OnnxFlags & { readonly out: string }>;

interface Accuracy {
  readonly model: string;
  readonly accuracy: number;
  readonly loss: number;
  readonly images: number;
  /** Of the file, where there is one. */
  readonly fileBytes: number | null;
}

export interface OnnxOutcome {
  readonly precision: string;
  /** What the file was compared on. */
  readonly verifiedOn: string | null;
  readonly verification: Verification | null;
  /** On test images of the data set given. */
  readonly accuracy: readonly Accuracy[] | null;
}

/** Images that a file is compared on where a data set is at hand. */
const comparedImages = 16;
export const accuracyImages = 2000;

/** Writes the file, or fails and leaves none. */
export async function writeOnnx(
  context: OnnxContext,
  opened: Pick<OpenedModel, 'model' | 'info' | 'isOurs'>,
): Promise<OnnxOutcome> {
  const { model, info } = opened;
  const { options } = context;
  const { dtype, quantize, input } = options;
  const scanOp = scanOpOf(context, model);
  const build: BuildOptions = {
    scanOp,
    ...(input && { input }),
    ...(dtype && { dtype }),
    ...(quantize && { quantize }),
  };
  const { exportOnnx } = await import('../export/export-onnx.js');
  const dataset = await datasetFor(context, opened);
  const images = dataset && (await firstImages(dataset));
  const { verification = null } = await exportOnnx(options.out, model, info, {
    ...build,
    verify: options.verify,
    ...(images && { images }),
  });
  const verifiedOn = comparedOn(dataset);
  const asked = options.dataset !== undefined || options.data !== undefined;
  return {
    precision: precisionName(build),
    verification,
    verifiedOn: verification && verifiedOn,
    accuracy: dataset && asked ? await accuracies(context, model, info, build, dataset) : null,
  };
}

/** What a file was compared on, as tables say it. */
export const comparedOn = (dataset: Dataset | undefined): string =>
  dataset ? `test images of ${dataset.info.name}` : 'made-up images';

/** @throws UsageError where one was chosen for a model that has no scan */
export function scanOpOf({ options, given }: OnnxContext, { config }: ImageModel): ScanOp {
  if (given.scanOp !== undefined && familyNamed(config).onnx?.scans !== true) {
    const scanning = families().filter(({ onnx }) => onnx?.scans === true);
    const titles = scanning.map(({ title }) => title).join(', ');
    throw new UsageError(
      `--scan-op: ${config.arch} has no scan, only models of these families do: ${titles}. Leave it out.`,
    );
  }
  return options.scanOp ?? scanOpFor[options.target ?? 'cpu'];
}

/** The data set asked for, or the model's own where it is at hand and small. */
export async function datasetFor(
  context: OnnxContext,
  { model, info, isOurs }: Pick<OpenedModel, 'model' | 'info' | 'isOurs'>,
): Promise<Dataset | undefined> {
  const { options } = context;
  const { dataset, data } = options;
  const isAsked = dataset !== undefined || data !== undefined;
  const { isAtHand } = await import('../data/datasets.js');
  const { dataFor, openDataFor, withModelInfo } = await import('../workflows/fit.js');
  const settings =
    isAsked || (await isAtHand(info.dataset, info.data))
      ? dataFor(info, { dataset, data })
      : undefined;
  if (settings === undefined) return undefined;
  const onNote = (text: string): void => {
    context.note(text);
  };
  const found = await openDataFor(model, settings, { onNote });
  return withModelInfo(found, info, { takesClasses: !isOurs });
}

export async function firstImages({ test }: Dataset): Promise<Uint8Array> {
  const count = Math.min(comparedImages, test.length);
  // Evenly over the split, which may be sorted by class.
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * test.length) / count));
  return test.read(indices);
}

/** Of the model itself, of the file, and of the same file in float32 if this one is rounded. */
async function accuracies(
  context: OnnxContext,
  model: ImageModel,
  info: ModelInfo,
  build: BuildOptions,
  dataset: Dataset,
): Promise<Accuracy[]> {
  const { options, progress } = context;
  const { measureForms } = await import('../export/measure-forms.js');
  const { encodeModel } = await import('../onnx/proto.js');
  const { buildOnnxModel } = await import('../export/build-model.js');
  const { inFloat32 } = await import('../export/export-onnx.js');
  const exact = isRounded(build)
    ? encodeModel(buildOnnxModel(model, info, inFloat32(build)))
    : undefined;
  const rows = [
    { model: 'libtorch, float32', fileBytes: null },
    ...(exact ? [{ model: 'ONNX, float32', fileBytes: exact.length }] : []),
    { model: `ONNX, ${precisionName(build)}`, fileBytes: statSync(options.out).size },
  ];
  const images = Math.min(options.images ?? accuracyImages, dataset.test.length);
  const measured = await interruptible(context, (signal) => {
    progress.begin('accuracy', images, 'img');
    return measureForms(model, info, [...(exact ? [exact] : []), options.out], dataset, {
      images,
      seed: options.seed,
      signal,
      onProgress: (done) => {
        progress.update(done);
      },
    });
  });
  return measured.map(({ accuracy, loss, images: seen }, i) => ({
    ...(rows[i] as Pick<Accuracy, 'model' | 'fileBytes'>),
    accuracy,
    loss,
    images: seen,
  }));
}

/** What the summary says of the check. */
export function onnxFacts({ verification, verifiedOn }: OnnxOutcome): [string, string][] {
  if (!verification) return [['checked', 'no: --no-verify was given']];
  const { images, maxDifference, maxLogit } = verification;
  const range = `differ by ${maxDifference.toExponential(1)} at most, the largest is ${digits(maxLogit)}`;
  return [
    ['checked', `by onnxruntime, ${plural(images, 'image')} (${verifiedOn ?? ''})`],
    ['logits', range],
  ];
}

/** The accuracy, if it was measured. */
export function printAccuracy(context: Context, { accuracy }: OnnxOutcome): void {
  if (!accuracy) return;
  context.print();
  context.table(
    [
      { title: 'model', flexible: true },
      { title: 'accuracy', align: 'right' },
      { title: 'loss', align: 'right' },
      { title: 'file', align: 'right' },
    ],
    accuracy.map((row) => [
      row.model,
      percent(row.accuracy),
      digits(row.loss, 4),
      row.fileBytes === null ? '' : bytes(row.fileBytes),
    ]),
  );
  context.print(`  ${plural(accuracy[0]?.images ?? 0, 'test image')}`);
}
