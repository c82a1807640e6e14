import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type ModelFlags, addModelOptions, typedModelOptions } from '../options/model.js';
import { type OnnxFlags, addOnnxOptions, refuseOnnxOptions } from '../options/onnx.js';
import { choiceOption } from '../options/parse.js';
import { type UntoldFlags, addUntoldOptions, typedUntoldOptions } from '../options/untold.js';
import { bytes, count } from '../terminal/format.js';
import { type OnnxOutcome, onnxFacts, printAccuracy, writeOnnx } from '../onnx-export.js';

const formats = ['safetensors', 'onnx'] as const;

export interface ExportOptions extends CommonOptions, ModelFlags, UntoldFlags, OnnxFlags {
  readonly format?: (typeof formats)[number];
  readonly out: string;
  readonly overwrite?: boolean;
}

export function addExportCommand(program: Command, cli: Cli): void {
  const command = program
    .command('export')
    .summary('write a model for another program')
    .description(
      'As safetensors: the weights under the names that PyTorch has for them, with a description from ' +
        'which this program builds the model again. As ONNX: a model from pixels to probabilities, ' +
        'normalisation included, which onnxruntime has run here with the same results. Takes its own ' +
        'models, dense or pruned, and checkpoints of PyTorch, timm and torchvision (safetensors and ' +
        'torch.save), whose architecture the shapes tell or --arch names.',
    )
    .argument('<MODEL|RUN>', 'a model or checkpoint file, the folder of a run, or hf:owner/name');
  for (const option of [
    choiceOption('--format <name>', 'of the file', formats, 'as --out ends, else safetensors'),
    new Option('--out <file>', 'the file to write (required)').makeOptionMandatory(),
    new Option('--overwrite', 'replace the file if there is one'),
  ]) {
    command.addOption(option);
  }
  addOnnxOptions(command);
  addModelOptions(command, 'as the shapes say');
  addUntoldOptions(command);
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A pruned model for onnxruntime', 'mamba-prune export runs/pruned --out pruned.onnx'],
    ['A checkpoint of timm', 'mamba-prune export vit.pth --arch vit_tiny --out vit.safetensors'],
  ]);
  action<ExportOptions>(cli, command, async (context, argument: string) => {
    const { out, overwrite = false } = context.options;
    const format = context.options.format ?? (extname(out) === '.onnx' ? 'onnx' : 'safetensors');
    if (format !== 'onnx') refuseOnnxOptions(context.given, format);
    if (existsSync(out) && !overwrite) {
      throw new UsageError(
        `--out: ${out} exists, expected a new file. Give another name, or --overwrite.`,
      );
    }
    checkFolderOf(out);
    const path = await findModel(context, argument);
    await exportModel(context, path, format);
  });
}

/** Before a model is read and checked. @throws UsageError if there can be no such file */
function checkFolderOf(out: string): void {
  const folder = dirname(resolve(out));
  if (existsSync(folder) && statSync(folder).isDirectory()) return;
  throw new UsageError(
    `--out: ${folder} is no folder, expected one for ${basename(out)}. Make it.`,
  );
}

async function exportModel(
  context: Context<ExportOptions>,
  path: string,
  format: (typeof formats)[number],
): Promise<void> {
  const { out } = context.options;
  const { arch, imageSize } = context.given;
  const { importModel } = await import('../../models/import-model.js');
  const { saveModel } = await import('../../models/model-file.js');
  const { model, info, assumed, notes } = await importModel(path, {
    ...typedModelOptions(context.given),
    ...typedUntoldOptions(context.given),
    ...(arch !== undefined && { arch }),
    ...(imageSize !== undefined && { imageSize }),
  });
  for (const note of [...assumed, ...notes]) context.note(note);
  let onnx: OnnxOutcome | undefined;
  const { arch: name } = model.config;
  const parameters = model.numParameters();
  try {
    if (format === 'onnx') onnx = await writeOnnx(context, model, info);
    else saveModel(out, model, info);
  } finally {
    model.dispose();
  }
  const fileBytes = statSync(out).size;
  context.json({
    path,
    out: resolve(out),
    format,
    arch: name,
    parameters,
    fileBytes,
    assumed,
    notes,
    ...onnx,
  });
  context.pathTitle(out);
  context.facts([
    ['model', name],
    ['parameters', count(parameters)],
    ['file', bytes(fileBytes)],
    ...(onnx ? onnxFacts(onnx) : []),
  ]);
  if (onnx) printAccuracy(context, onnx);
}
