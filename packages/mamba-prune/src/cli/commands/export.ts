import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { makeFolder } from '../../files/folder.js';
import { bytes, count } from '../../format.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { exportFolder } from '../hub-export.js';
import { type OnnxOutcome, onnxFacts, printAccuracy, writeOnnx } from '../onnx-export.js';
import type { StoredDtype } from '../../models/stored-weights.js';
import { openModel } from '../open-model.js';
import { checkFolderOf } from '../out-folder.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type HubFlags, addHubOptions, checkHubOptions, refuseHubOptions } from '../options/hub.js';
import { type ImportFlags, addImportOptions, modelArgument } from '../options/import.js';
import { dropPathOption } from '../options/model.js';
import { type OnnxFlags, addOnnxOptions, refuseOnnxOptions } from '../options/onnx.js';
import { addOptions, choiceOption } from '../options/parse.js';

const formats = ['safetensors', 'onnx', 'hf'] as const;
/** Those of one file, which its ending names. */
const endings = ['safetensors', 'onnx'] as const;

export interface ExportOptions extends CommonOptions, ImportFlags, OnnxFlags, HubFlags {
  readonly format?: (typeof formats)[number];
  readonly out: string;
  readonly overwrite?: boolean;
}

export function addExportCommand(program: Command, cli: Cli): void {
  const command = program
    .command('export')
    .summary('write a model for another program')
    .description(
      'Writes a model into a file for another program. A safetensors file holds the weights under the names ' +
        'that PyTorch has for them, and a description from which this program builds the model again. An ONNX ' +
        'file goes from pixels to probabilities, normalisation included, and onnxruntime has run it here with ' +
        'the same results. The model may be one of this program, dense or pruned, or a checkpoint of PyTorch, ' +
        'timm or torchvision (safetensors or torch.save), whose architecture the shapes tell or --arch names. ' +
        '--format hf writes a folder for the Hugging Face Hub, with both kinds of files, what transformers.js reads ' +
        'beside them, and a model card; push uploads it.',
    )
    .argument('<MODEL|RUN>', modelArgument);
  addOptions(command, [
    choiceOption('--format <name>', 'format of the file', formats, 'by the ending of --out'),
    new Option(
      '--out <file>',
      'the file to write, .safetensors or .onnx, or the folder of hf (required)',
    ).makeOptionMandatory(),
    new Option('--overwrite', 'replace the file, or those in the folder, if it exists'),
  ]);
  addHubOptions(command);
  addOnnxOptions(command);
  addImportOptions(command);
  command.addOption(dropPathOption());
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A pruned model for onnxruntime', 'mamba-prune export runs/pruned --out pruned.onnx'],
    ['A checkpoint of timm', 'mamba-prune export vit.pth --arch vit_tiny --out vit.safetensors'],
    [
      'A folder for the Hugging Face Hub',
      'mamba-prune export runs/pruned --format hf --license mit --out hub/pruned',
    ],
  ]);
  action<ExportOptions>(cli, command, async (context, argument: string) => {
    const { out, overwrite = false } = context.options;
    checkKind(out, context.options.format);
    const format = formatOf(out, context.options.format);
    if (format !== 'onnx') refuseOnnxOptions(context.given, format);
    if (format === 'hf') checkHubOptions(context.options);
    else refuseHubOptions(context.given, format);
    await checkIsFree(out, format, overwrite);
    checkFolderOf(out);
    await exportModel(context, argument, format);
  });
}

type Format = (typeof formats)[number];

/** @throws UsageError for a folder where a file is to be, or the other way round */
function checkKind(out: string, format: Format | undefined): void {
  if (!existsSync(out)) return;
  const isFolder = statSync(out).isDirectory();
  if (isFolder && format !== 'hf') {
    throw new UsageError(`--out: ${out} is a folder, expected the file to write.`);
  }
  if (!isFolder && format === 'hf') {
    throw new UsageError(`--out: ${out} is a file, expected the folder to write.`);
  }
}

/** @throws UsageError if something is there that nobody asked to replace, or a run, whose files have the same names */
async function checkIsFree(out: string, format: Format, overwrite: boolean): Promise<void> {
  if (!existsSync(out)) return;
  const { RunFolder } = await import('../../training/run-folder.js');
  if (format === 'hf' && RunFolder.isRun(out)) {
    throw new UsageError(
      `--out: ${out} is the folder of a run, whose config.json would be lost, expected another folder. Give a name such as ${join(out, 'hub')}.`,
    );
  }
  if (overwrite) return;
  if (format === 'hf' && readdirSync(out).length === 0) return;
  throw new UsageError(
    `--out: ${out} exists, expected a new ${format === 'hf' ? 'folder' : 'file'}. Give another name, or --overwrite.`,
  );
}

/** @throws UsageError for a name that ends as no format does, or as another one than was asked for */
function formatOf(out: string, asked: Format | undefined): Format {
  const ending = extname(out).toLowerCase();
  const named = endings.find((format) => ending === `.${format}`);
  if (asked === 'hf') {
    if (named === undefined || existsSync(out)) return asked;
    throw new UsageError(
      `--out: ${out} ends in ${ending}, but --format hf writes a folder. Give the name of one, or leave --format out.`,
    );
  }
  if (named === undefined && asked === undefined) {
    throw new UsageError(
      `--out: ${out} ends ${ending === '' ? 'without a format' : `in ${ending}`}, expected ` +
        `${endings.map((format) => `.${format}`).join(' or ')}. Give such a name, or --format.`,
    );
  }
  if (named !== undefined && asked !== undefined && named !== asked) {
    throw new UsageError(
      `--out: ${out} ends in ${ending}, but --format is ${asked}. Leave --format out, or give another name.`,
    );
  }
  return asked ?? named ?? 'safetensors';
}

async function exportModel(
  context: Context<ExportOptions>,
  argument: string,
  format: Format,
): Promise<void> {
  const { out } = context.options;
  const { saveModel } = await import('../../models/model-file.js');
  const { losslessDtype, storedText } = await import('../../models/stored-weights.js');
  const opened = await openModel(context, argument);
  const { path, model, info, facts } = opened;
  if (format === 'hf') {
    await exportFolder(context, opened);
    return;
  }
  let onnx: OnnxOutcome | undefined;
  let stored: StoredDtype | undefined;
  const { arch: name } = model.config;
  const parameters = model.numParameters();
  try {
    makeFolder(dirname(resolve(out)));
    // What has 16 bits keeps them.
    if (format === 'safetensors')
      stored = context.options.dtype ?? losslessDtype(model.stateDict());
    if (stored === undefined) onnx = await writeOnnx(context, opened);
    else saveModel(out, model, info, { dtype: stored });
  } finally {
    model.dispose();
  }
  const fileBytes = statSync(out).size;
  context.json({
    path,
    ...facts,
    out: resolve(out),
    format,
    arch: name,
    parameters,
    fileBytes,
    ...(stored && { dtype: stored }),
    ...onnx,
  });
  context.pathTitle(out);
  context.facts([
    ['model', name],
    ['parameters', count(parameters)],
    ...(stored ? [['weights', storedText(stored)] as const] : []),
    ['file', bytes(fileBytes)],
    ...(onnx ? onnxFacts(onnx) : []),
  ]);
  if (onnx) printAccuracy(context, onnx);
}
