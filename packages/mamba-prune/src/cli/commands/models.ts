import type { Command } from 'commander';
import {
  type BoxedModel,
  boxedArgument,
  boxedModels,
  boxedPackage,
  isBoxExpected,
} from '../../boxed-models.js';
import { publishedArgument } from '../../hub-names.js';
import { publishedWeights } from '../../models/published.js';
import type { PublishedWeights } from '../../models/published-weights.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { bytes, count, percent } from '../../format.js';

export function addModelsCommand(program: Command, cli: Cli): void {
  const command = program
    .command('models')
    .summary('list the trained models that need no training here')
    .description(
      `Lists the trained models of the npm package ${boxedPackage}, and the published weights of other projects that are ` +
        'downloaded from their addresses. Every command that takes a model takes their names too. The accuracy is that on the ' +
        'test images of the data set: of the first, measured with the weights as they are stored; of the others, as published.',
    );
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['What there is', 'mamba-prune models'],
    ['Classify a picture', 'mamba-prune predict models:cifar10/mamba_small-90 cat.jpg'],
    [
      'Fine-tune published weights',
      'mamba-prune train --from pretrained:vim_tiny --dataset folder \\\n' +
        '    --data photos --image-size 224 --out runs/b',
    ],
    [
      'Prune a trained model further',
      'mamba-prune prune models:cifar10/mamba_small-90 --rate 0.5 --data data \\\n' +
        '    --out runs/a',
    ],
  ]);
  action<CommonOptions>(cli, command, (context) => {
    const models = isBoxExpected() ? boxedModels() : [];
    const published = publishedWeights();
    context.json({
      models: models.map((model) => ({ model: boxedArgument(model), ...model })),
      published: published.map((weights) => ({ model: publishedArgument(weights), ...weights })),
    });
    if (isBoxExpected()) {
      printModels(context, models);
      context.print();
    } else {
      context.note(
        `The package ${boxedPackage}, whose models need no download, is not installed. Run: npm install ${boxedPackage}`,
      );
    }
    printPublished(context, published);
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

function printPublished(context: Context, published: readonly PublishedWeights[]): void {
  context.table(
    [
      { title: 'published', flexible: true },
      { title: 'data' },
      { title: 'accuracy', align: 'right' },
      { title: 'px', align: 'right' },
      { title: 'licence' },
      { title: 'file', align: 'right' },
    ],
    published.map((weights) => [
      weights.name,
      weights.dataset,
      percent(weights.accuracy, 1),
      `${weights.imageSize}`,
      weights.license,
      weights.bytes === undefined ? '' : bytes(weights.bytes),
    ]),
  );
  const [first] = published;
  if (!first) return;
  context.print();
  context.paragraph(
    `They are taken as pretrained:NAME, and downloaded at first use: ${publishedArgument(first)}. With --json this list has ` +
      'their addresses and sources too.',
  );
}
