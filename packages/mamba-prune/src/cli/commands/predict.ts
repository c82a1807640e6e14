import type { Command } from 'commander';
import { formatNames } from '../../data/image-formats.js';
import { modelLimits } from '../../limits.js';
import type { PredictOptions, Prediction } from '../../inference/predict.js';
import { type Cli, type Context, IncompleteError, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { isOnnx } from '../../workflows/model-path.js';
import { type ComputedIn, onnxFacts } from '../onnx-precision.js';
import { type ModelFacts, openFile } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import {
  type ImportFlags,
  addImportOptions,
  importOptionsOf,
  modelOrOnnxArgument,
} from '../options/import.js';
import { integerOption } from '../options/parse.js';
import { bar } from '../terminal/bars.js';
import { percent } from '../../format.js';
import { printableLine } from '../terminal/printable.js';
import { padEnd, shorten, visible } from '../terminal/text.js';
import { type Keep, releasing } from '../../releasing.js';
import { interruptible } from '../work.js';

interface PredictCommandOptions extends CommonOptions, ImportFlags {
  readonly topK: number;
}

export function addPredictCommand(program: Command, cli: Cli): void {
  const command = program
    .command('predict')
    .summary('classify image files')
    .description(
      `Classifies image files (${formatNames}). Size, interpolation, crop, channels and normalisation ` +
        "come from the model's file: the shorter side is resized, the centre cut out, as eval does it. " +
        'A file that cannot be read is named in its place; the others are classified, and the exit status is 1.',
    )
    .argument('<MODEL|RUN>', modelOrOnnxArgument)
    .argument('<IMAGE...>', 'image files')
    .addOption(
      integerOption('--top-k <n>', 'number of classes to show for each image', {
        min: 1,
        max: modelLimits.numClasses,
      }).default(5),
    );
  addImportOptions(command);
  addCommonOptions(command, { infers: true });
  addExamples(command, [
    [
      'The three likeliest classes',
      'mamba-prune predict runs/quickstart/pruned shoe.png --top-k 3',
    ],
    ['Many images, for a program', 'mamba-prune predict model.safetensors *.jpg --json'],
  ]);
  action<PredictCommandOptions>(cli, command, async (context, argument, ...rest) => {
    const images = rest.flat();
    const { topK, seed } = context.options;
    const path = await findModel(context, argument, { takesOnnx: true });
    const { prepareDevice } = await import('../device.js');
    const device = prepareDevice(context.options, (note) => {
      context.note(note);
    });
    const { progress } = context;
    if (images.length > 64) progress.begin('predict', images.length, 'img');
    const { predictions, facts, precision } = await releasing(async (keep) => {
      const predictor = await (isOnnx(path)
        ? onnxPredictor(context, path, keep)
        : modelPredictor(context, path, device, keep));
      const made = await interruptible(context, (signal) =>
        predictor.predict(images, {
          topK,
          signal,
          onProgress: (done) => {
            progress.update(done);
          },
        }),
      );
      return { ...predictor, predictions: made };
    });
    const where = isOnnx(path) ? { runtime: 'onnxruntime' } : { device };
    context.json({ ...facts, ...where, precision, seed, predictions });
    printPredictions(context, predictions);
    checkAllRead(predictions);
  });
}

interface Predictor {
  readonly facts: ModelFacts;
  readonly precision: ComputedIn;
  predict(paths: readonly string[], options: PredictOptions): Promise<Prediction[]>;
}

type PredictContext = Context<PredictCommandOptions>;

async function modelPredictor(
  context: PredictContext,
  path: string,
  device: string,
  keep: Keep,
): Promise<Predictor> {
  const { predictImages } = await import('../../inference/predict.js');
  const { inferencePrecisionOn } = await import('../../models/inference-precision.js');
  const precision = inferencePrecisionOn(device, context.options.precision);
  const { model, info, facts } = await openFile(context, path);
  keep(model).to(device);
  return {
    facts,
    precision,
    predict: (paths, more) => predictImages(model, info, paths, { ...more, device, precision }),
  };
}

async function onnxPredictor(
  context: PredictContext,
  path: string,
  keep: Keep,
): Promise<Predictor> {
  const { OnnxModel } = await import('../../export/onnx-model.js');
  const { predictImagesOnnx } = await import('../../inference/predict.js');
  const { sameInfo } = await import('../../workflows/same-info.js');
  const onnx = keep(await OnnxModel.open(path));
  const { model, ...info } = onnx.description;
  const { classes } = sameInfo(path, model, info, await importOptionsOf(context.given));
  const { precision } = onnx;
  return {
    facts: onnxFacts(context, path, precision),
    precision,
    predict: (paths, more) => predictImagesOnnx(onnx, paths, { ...more, classes }),
  };
}

/** How many files an error names. */
const named = 10;

/** @throws IncompleteError naming the files that could not be read */
function checkAllRead(predictions: readonly Prediction[]): void {
  const bad = predictions.filter(({ error }) => error !== undefined);
  if (bad.length === 0) return;
  const list = bad
    .slice(0, named)
    .map(({ path, error }) => printableLine(`${path} (${error ?? ''})`))
    .join('; ');
  const more = bad.length > named ? ` and ${bad.length - named} more` : '';
  throw new IncompleteError(
    `${bad.length} of ${predictions.length} images cannot be used: ${list}${more}. Replace them or leave them out.`,
  );
}

export function printPredictions(context: Context, predictions: readonly Prediction[]): void {
  const { colours } = context;
  const width = Math.min(
    36,
    Math.max(
      ...predictions.flatMap(({ top }) => top.map(({ name }) => visible(printableLine(name)))),
    ),
  );
  predictions.forEach(({ path, top, error }, index) => {
    if (index > 0) context.print();
    context.pathTitle(path);
    if (error !== undefined) context.paragraph(`cannot be used: ${error}`);
    top.forEach(({ name, probability }, place) => {
      const cut = padEnd(shorten(printableLine(name), width, 'start'), width);
      const label = place === 0 ? colours.bold(cut) : cut;
      const share = percent(probability).padStart(7);
      context.print(`  ${label}  ${share}  ${bar(probability, 24, colours)}`);
    });
  });
}
