import type { Command } from 'commander';
import { type BoxedModel, boxedArgument, boxedModels, boxedPackage } from '../../boxed-models.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { bytes, count, percent } from '../../format.js';

export function addModelsCommand(program: Command, cli: Cli): void {
  const command = program
    .command('models')
    .summary('list the trained models that need no training here')
    .description(
      `Lists the trained models of the npm package ${boxedPackage}. Every command that takes a model takes their ` +
        'names too. The accuracy is that on the test images of the data set, measured with the weights as they are stored.',
    );
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['What there is', 'mamba-prune models'],
    ['Classify a picture', 'mamba-prune predict models:cifar10/mamba_small-90 cat.jpg'],
    [
      'Prune one of them further',
      'mamba-prune prune models:cifar10/mamba_small-90 --rate 0.5 --data data \\\n' +
        '    --out runs/a',
    ],
  ]);
  action<CommonOptions>(cli, command, (context) => {
    const models = boxedModels();
    context.json({ models: models.map((model) => ({ model: boxedArgument(model), ...model })) });
    printModels(context, models);
    return Promise.resolve();
  });
}

export function printModels(context: Context, models: readonly BoxedModel[]): void {
  context.table(
    [
      { title: 'name', flexible: true },
      { title: 'data' },
      { title: 'accuracy', align: 'right' },
      { title: 'parameters', align: 'right' },
      { title: 'MACs', align: 'right' },
      { title: 'file', align: 'right' },
    ],
    models.map((model) => [
      model.name,
      model.dataset,
      percent(model.accuracy),
      count(model.parameters),
      count(model.macs),
      bytes(model.bytes),
    ]),
  );
  const [first] = models;
  if (!first) return;
  context.print();
  context.paragraph(
    `Every command that takes a model takes these as models:NAME: ${boxedArgument(first)}`,
  );
}
