import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { type Cli, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type ModelFlags, addModelOptions, typedModelOptions } from '../options/model.js';
import { choiceOption } from '../options/parse.js';
import { bytes, count } from '../terminal/format.js';

interface ExportOptions extends CommonOptions, ModelFlags {
  readonly format?: 'safetensors';
  readonly out: string;
  readonly overwrite?: boolean;
}

export function addExportCommand(program: Command, cli: Cli): void {
  const command = program
    .command('export')
    .summary('write a model for another program')
    .description(
      'Writes the weights under the names that PyTorch has for them, with a description from which this ' +
        'program builds the model again. Takes its own models, dense or pruned, and checkpoints of ' +
        'PyTorch, timm and torchvision (safetensors and torch.save), whose architecture the shapes tell ' +
        'or --arch names.',
    )
    .argument('<MODEL|RUN>', 'a model or checkpoint file, the folder of a run, or hf:owner/name');
  for (const option of [
    choiceOption('--format <name>', 'of the file', ['safetensors'], 'safetensors'),
    new Option('--out <file>', 'the file to write').makeOptionMandatory(),
    new Option('--overwrite', 'replace the file if there is one'),
  ]) {
    command.addOption(option);
  }
  addModelOptions(command, 'as the shapes say');
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A pruned model', 'mamba-prune export runs/pruned --out pruned.safetensors'],
    ['A checkpoint of timm', 'mamba-prune export vit.pth --arch vit_tiny --out vit.safetensors'],
  ]);
  action<ExportOptions>(cli, command, async (context, argument: string) => {
    const { out, overwrite = false } = context.options;
    const { arch, imageSize } = context.given;
    if (existsSync(out) && !overwrite) {
      throw new UsageError(
        `--out: ${out} exists, expected a new file. Give another name, or --overwrite.`,
      );
    }
    const path = await findModel(context, argument);
    const { importModel } = await import('../../models/import-model.js');
    const { saveModel } = await import('../../models/model-file.js');
    const { model, info, assumed } = await importModel(path, {
      ...typedModelOptions(context.given),
      ...(arch !== undefined && { arch }),
      ...(imageSize !== undefined && { imageSize }),
    });
    saveModel(out, model, info);
    const { arch: name } = model.config;
    const parameters = model.numParameters();
    model.dispose();
    const fileBytes = statSync(out).size;
    for (const note of assumed) context.note(note);
    context.json({
      path,
      out: resolve(out),
      format: 'safetensors',
      arch: name,
      parameters,
      fileBytes,
      assumed,
    });
    context.pathTitle(out);
    context.facts([
      ['model', name],
      ['parameters', count(parameters)],
      ['file', bytes(fileBytes)],
    ]);
  });
}
