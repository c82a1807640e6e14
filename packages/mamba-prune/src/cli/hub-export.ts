// What `export --format hf` does and says.
import { resolve } from 'node:path';
import type { HubFolder } from '../export/hub-folder/write-folder.js';
import { bytes, count, percent, plural } from '../format.js';
import type { Context } from './context.js';
import {
  type OnnxContext,
  accuracyImages,
  comparedOn,
  datasetFor,
  firstImages,
  scanOpOf,
} from './onnx-export.js';
import type { OpenedModel } from './open-model.js';
import type { HubFlags } from './options/hub.js';
import { interruptible } from './work.js';

type HubContext = OnnxContext & Context<OnnxContext['options'] & HubFlags>;

type Opened = Pick<OpenedModel, 'path' | 'model' | 'info' | 'isOurs' | 'facts'>;

/** Writes the folder and says what is in it. Disposes of the model. */
export async function exportFolder(context: HubContext, opened: Opened): Promise<void> {
  const { path, model, facts } = opened;
  const { out, license = 'unknown' } = context.options;
  const { arch } = model.config;
  const parameters = model.numParameters();
  try {
    const { written, verifiedOn } = await writeHubFolder(context, opened);
    noteLeftOut(context, written);
    const fileBytes = written.files.reduce((sum, file) => sum + file.fileBytes, 0);
    const format = 'hf';
    const outcome = { license, ...written, verifiedOn, fileBytes };
    context.json({ path, ...facts, out: resolve(out), format, arch, parameters, ...outcome });
    context.pathTitle(out);
    context.facts([
      ['model', arch],
      ['parameters', count(parameters)],
      ['license', license],
      ['files', `${plural(written.files.length, 'file')}, ${bytes(fileBytes)}`],
      ['checked', checkedText(written, verifiedOn)],
    ]);
    context.print();
    printForms(context, written);
  } finally {
    model.dispose();
  }
}

/** The folder of `--out`, or nothing. */
async function writeHubFolder(
  context: HubContext,
  opened: Pick<Opened, 'model' | 'info' | 'isOurs'>,
): Promise<{ readonly written: HubFolder; readonly verifiedOn: string | null }> {
  const { options, progress } = context;
  const { model, info } = opened;
  const { out, license, repo, verify } = options;
  const scanOp = scanOpOf(context, model);
  if (license === undefined) noteNoLicense(context);
  const { exportHubFolder } = await import('../export/hub-folder/write-folder.js');
  const dataset = await datasetFor(context, opened);
  const images = dataset && (await firstImages(dataset));
  const isAsked = options.dataset !== undefined || options.data !== undefined;
  const written = await interruptible(context, (signal) => {
    const accuracy = dataset &&
      isAsked && {
        dataset,
        images: options.images ?? accuracyImages,
        seed: options.seed,
        signal,
        onProgress: (done: number, total: number) => {
          if (!progress.busy) progress.begin('accuracy', total, 'img');
          progress.update(done);
        },
      };
    return exportHubFolder(out, model, info, {
      license,
      repo,
      scanOp,
      verify,
      images,
      ...(accuracy && { accuracy }),
    });
  });
  return { written, verifiedOn: verify ? comparedOn(dataset) : null };
}

export function noteNoLicense(context: Context): void {
  context.note(
    'The card says `license: unknown`. Give --license, such as mit, so that others know what they may do.',
  );
}

/** Says which ONNX files there are not. */
export function noteLeftOut(context: Context, { leftOut }: Pick<HubFolder, 'leftOut'>): void {
  for (const { file, dtype, tolerance } of leftOut) {
    context.note(
      `${file} (${dtype}) was left out: its logits differ from the model's by more than ${percent(tolerance, 0)} of the largest, ` +
        'so that the model does not bear so few bits.',
    );
  }
}

function checkedText({ forms }: HubFolder, verifiedOn: string | null): string {
  const [first] = forms;
  if (verifiedOn === null || !first?.verification) return 'no: --no-verify was given';
  return `by onnxruntime, ${plural(first.verification.images, 'image')} (${verifiedOn})`;
}

/** Each ONNX file, with what transformers.js calls it. */
export function printForms(
  context: Context,
  { forms, accuracy }: Pick<HubFolder, 'forms' | 'accuracy'>,
): void {
  const measured = accuracy !== null;
  context.table(
    [
      { title: 'file', flexible: true },
      { title: 'dtype' },
      { title: 'logits differ by', align: 'right' },
      ...(measured ? [{ title: 'accuracy', align: 'right' } as const] : []),
      { title: 'size', align: 'right' },
    ],
    forms.map((form) => [
      form.file,
      form.dtype,
      form.verification?.maxDifference.toExponential(1) ?? '',
      ...(measured ? [percent(form.accuracy?.accuracy)] : []),
      bytes(form.fileBytes),
    ]),
  );
  if (!measured) return;
  context.print(
    `  ${percent(accuracy.accuracy)} by libtorch, on ${plural(accuracy.images, 'test image')}`,
  );
}
