import type { Command } from 'commander';
import { trainLimits } from '../../limits.js';
import type { Dataset } from '../../data/types.js';
import type { ModelInfo } from '../../models/model-file.js';
import type { ModelEvaluation } from '../../inference/evaluate-model.js';
import type { openDataFor } from '../../workflows/fit.js';
import type { ResolvedInferencePrecision } from '../../precision.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { isOnnx } from '../../workflows/model-path.js';
import { type ComputedIn, onnxFacts } from '../onnx-precision.js';
import { type ModelFacts, openFile } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type DataOptions, addDataOptions } from '../options/data.js';
import {
  type ImportFlags,
  addImportOptions,
  importOptionsOf,
  modelOrOnnxArgument,
} from '../options/import.js';
import { choiceOption, integerOption } from '../options/parse.js';
import { digits, grouped, percent } from '../../format.js';
import { interruptible } from '../work.js';

interface EvalOptions extends CommonOptions, DataOptions, ImportFlags {
  readonly split: 'train' | 'test';
  readonly batchSize: number;
  readonly images?: number;
  readonly perClass?: true;
}

export function addEvalCommand(program: Command, cli: Cli): void {
  const command = program
    .command('eval')
    .summary('measure the accuracy of a model')
    .description('Measures loss and accuracy of a model on a data set.')
    .argument('<MODEL|RUN>', modelOrOnnxArgument);
  addDataOptions(command, 'the one the model was trained on');
  command
    .addOption(
      choiceOption('--split <part>', 'part of the data set to evaluate on', [
        'test',
        'train',
      ]).default('test', 'test'),
    )
    .addOption(
      integerOption(
        '--images <n>',
        'evaluate on at most this many, spread evenly over the classes',
        {
          min: 1,
          max: trainLimits.images,
        },
      ),
    )
    .addOption(
      integerOption('--batch-size <n>', 'number of images at a time', {
        min: 1,
        max: trainLimits.batchSize,
      }).default(256),
    )
    .option('--per-class', 'show the accuracy of every class too');
  addImportOptions(command);
  addCommonOptions(command, { infers: true });
  addExamples(command, [
    ['On the data set it was trained on', 'mamba-prune eval runs/quickstart/pruned --per-class'],
    ['CIFAR-10', 'mamba-prune eval runs/a --dataset cifar10 --data data'],
  ]);
  action<EvalOptions>(cli, command, async (context, argument) => {
    const path = await findModel(context, argument, { takesOnnx: true });
    const { options } = context;
    const { prepareDevice } = await import('../device.js');
    const device = prepareDevice(options, (note) => {
      context.note(note);
    });
    const { inferencePrecisionOn } = await import('../../models/inference-precision.js');
    const precision = inferencePrecisionOn(device, options.precision);
    const { result, dataset, facts, computedIn } = await (isOnnx(path)
      ? evaluateOnnx(context, path)
      : evaluateFile(context, path, device, precision));
    if (!result) throw new InterruptedError('Stopped before all images were seen.');
    const { classes, name } = dataset.info;
    // That of a model has been found already.
    if (!Number.isFinite(result.loss)) {
      const { NotFiniteError } = await import('../../inference/evaluate-model.js');
      throw new NotFiniteError(`eval: ${path}`, result.loss, `${options.split} images of ${name}`);
    }
    context.json({
      ...facts,
      dataset: name,
      split: options.split,
      ...(isOnnx(path) ? { runtime: 'onnxruntime' } : { device }),
      precision: computedIn,
      ...result,
      classes,
    });
    printEvaluation(context, path, `${name}, ${options.split} images`, result, classes, computedIn);
  });
}

type EvalContext = Context<EvalOptions>;

interface Evaluated {
  readonly facts: ModelFacts;
  readonly result: ModelEvaluation | undefined;
  readonly dataset: Dataset;
  readonly computedIn: ComputedIn;
}

async function evaluateFile(
  context: EvalContext,
  path: string,
  device: string,
  precision: ResolvedInferencePrecision,
): Promise<Evaluated> {
  const { options } = context;
  const { evaluateModel, namingNotFinite } = await import('../../inference/evaluate-model.js');
  const { model, info, facts } = await openFile(context, path);
  try {
    const dataset = await datasetFor(context, path, model.config, info);
    model.to(device);
    const result = await interruptible(
      context,
      (signal) =>
        evaluateModel(model, dataset, {
          ...measurement(context, 'batches'),
          perClass: options.perClass === true,
          device,
          precision,
          signal,
        }),
      // Which file it is only the command knows.
    ).catch(namingNotFinite(`eval: ${path}`));
    return { result, dataset, facts, computedIn: precision };
  } finally {
    model.dispose();
  }
}

async function evaluateOnnx(context: EvalContext, path: string): Promise<Evaluated> {
  const { OnnxModel } = await import('../../export/onnx-model.js');
  const { measureAccuracy } = await import('../../export/accuracy.js');
  const onnx = await OnnxModel.open(path);
  try {
    const { sameInfo } = await import('../../workflows/same-info.js');
    const { model, ...info } = onnx.description;
    const same = sameInfo(path, model, info, await importOptionsOf(context.given));
    const { precision: computedIn } = onnx;
    const facts = onnxFacts(context, path, computedIn);
    const dataset = await datasetFor(context, path, model, same);
    const classify = async (pixels: Uint8Array) => (await onnx.classify(pixels)).logits;
    const [measured] = await interruptible(context, (signal) =>
      measureAccuracy([classify], dataset, { ...measurement(context, 'img'), signal }),
    );
    if (!measured) return { result: undefined, dataset, facts, computedIn };
    const { classAccuracy, ...result } = measured;
    const shown = context.options.perClass ? { ...result, classAccuracy } : result;
    return { result: shown, dataset, facts, computedIn };
  } finally {
    await onnx.release();
  }
}

async function datasetFor(
  context: EvalContext,
  path: string,
  config: Parameters<typeof openDataFor>[0]['config'],
  info: Omit<ModelInfo, 'history'> & Partial<Pick<ModelInfo, 'history'>>,
): Promise<Dataset> {
  const { dataFor, openDataFor: open, withModelInfo } = await import('../../workflows/fit.js');
  const { dataset, data } = context.options;
  const settings = dataFor(info, { dataset, data });
  const { requireOwnDataset, unknownImages } = await import('../own-images.js');
  if (settings === undefined) throw unknownImages(path, info);
  const { noteAssumedPixels } = await import('../../workflows/assumed-pixels.js');
  const { describesItself } = await import('../../workflows/open-model-file.js');
  await requireOwnDataset(path, settings.dataset);
  const onNote = (note: string): void => {
    context.note(note);
  };
  const found = await open({ config }, settings, { onNote });
  noteAssumedPixels({ history: [], ...info }, found.info, { onNote });
  return withModelInfo(found, info, { takesClasses: !isOnnx(path) && !describesItself(path) });
}

/** What both ways to evaluate are told. */
function measurement({ options, progress }: EvalContext, unit: string) {
  return {
    split: options.split,
    batchSize: options.batchSize,
    images: options.images,
    seed: options.seed,
    onProgress: (done: number, total: number): void => {
      if (!progress.busy) progress.begin('eval', total, unit);
      progress.update(done);
    },
  };
}

export function printEvaluation(
  context: Context,
  path: string,
  dataset: string,
  { accuracy, top5, loss, images, classAccuracy }: ModelEvaluation,
  classes: readonly string[],
  precision: ComputedIn = 'fp32',
): void {
  context.pathTitle(path);
  context.facts([
    ['data', dataset],
    // Of float32 nothing is said: it is what a model computes in.
    ...(precision === 'fp32' ? [] : [['precision', precision] as const]),
    ['images', grouped(images)],
    ['accuracy', { text: percent(accuracy), style: 'bold' }],
    ...(top5 === null ? [] : [['top 5', percent(top5)] as const]),
    ['loss', digits(loss, 4)],
  ]);
  if (!classAccuracy) return;
  context.print();
  context.table(
    [{ title: 'class', flexible: true }, { title: 'accuracy', align: 'right' }, { title: '' }],
    classAccuracy.map((value, i) => [classes[i] ?? `class ${i}`, percent(value), { share: value }]),
  );
}
