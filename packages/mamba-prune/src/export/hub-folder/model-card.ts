// README.md of a model on the hub: what its front matter tells the hub, and what the page tells people.
import { stringify } from 'yaml';
import type { ImageModel } from '../../models/image-model.js';
import { modelLabel } from '../../models/model-label.js';
import type { ModelInfo } from '../../models/model-file.js';
import { grouped, percent, plural } from '../../format.js';
import { printableLine } from '../../printable.js';
import { examplesOf, frameRule } from './card-examples.js';
import type { CardFacts } from './facts.js';

/** One of the ONNX files, or the model itself. */
export interface CardFile {
  readonly file: string;
  /** What transformers.js calls it as `dtype`; none for the weights. */
  readonly dtype?: string | undefined;
  readonly precision: string;
  readonly fileBytes: number;
  /** On the images of `measuredOn`, from 0 to 1. */
  readonly accuracy?: number | undefined;
}

interface MeasuredOn {
  readonly dataset: string;
  readonly images: number;
  /** Test images that the data set has. */
  readonly of: number;
}

export interface CardContents {
  /** `owner/name`. */
  readonly repo: string;
  /** As the hub spells it: `mit`, `apache-2.0`, ... */
  readonly license: string;
  readonly facts: CardFacts;
  readonly files: readonly CardFile[];
  /** What the accuracies of the files were measured on. */
  readonly measuredOn?: MeasuredOn | undefined;
}

/** What the hub calls data sets that come with the program. */
const hubDatasets: Readonly<Record<string, readonly [id: string, title: string]>> = {
  'fashion-mnist': ['zalando-datasets/fashion_mnist', 'Fashion-MNIST'],
  mnist: ['ylecun/mnist', 'MNIST'],
  cifar10: ['uoft-cs/cifar10', 'CIFAR-10'],
  cifar100: ['uoft-cs/cifar100', 'CIFAR-100'],
  'tiny-imagenet': ['zh-plus/tiny-imagenet', 'Tiny ImageNet'],
  imagenet: ['ILSVRC/imagenet-1k', 'ImageNet-1k'],
  // What the hub's libraries call images in folders.
  folder: ['imagefolder', 'images in folders'],
};

export function modelCard(model: ImageModel, info: ModelInfo, contents: CardContents): string {
  const { repo } = contents;
  const sections = [
    `# ${repo.split('/').at(-1) ?? repo}`,
    introduction(model, info, contents),
    ...pruningSection(contents.facts),
    ...historySection(info),
    filesSection(contents),
    preparationSection(model, info),
    examplesOf(model, info, repo),
  ];
  return `---\n${stringify(frontMatter(model, info, contents))}---\n\n${sections.join('\n\n')}\n`;
}

/** https://huggingface.co/docs/hub/model-cards */
function frontMatter(
  { config }: ImageModel,
  { dataset }: ModelInfo,
  { repo, license, facts, files, measuredOn }: CardContents,
): object {
  const { units, baseModel } = facts;
  const [known = ''] = (dataset === undefined ? undefined : hubDatasets[dataset]) ?? [];
  // The hub knows no number of images: what some of them gave is not said there.
  const isWhole = measuredOn !== undefined && measuredOn.images === measuredOn.of;
  const measured = isWhole
    ? files.find(({ accuracy }) => accuracy !== undefined)?.accuracy
    : undefined;
  const accuracy = measured ?? facts.accuracy;
  const on = measured === undefined ? dataset : measuredOn?.dataset;
  const [type, name] = (on === undefined ? undefined : hubDatasets[on]) ?? [on, on];
  return {
    license,
    library_name: 'mamba-prune',
    pipeline_tag: 'image-classification',
    tags: [
      'mamba-prune',
      'onnx',
      'transformers.js',
      config.family,
      ...(units.length > 0 ? ['pruned', 'structured-pruning'] : []),
    ],
    // Those of the hub itself.
    ...(known.includes('/') && { datasets: [known] }),
    ...(baseModel !== undefined && { base_model: baseModel }),
    ...(accuracy !== undefined && { metrics: ['accuracy'] }),
    ...(accuracy !== undefined &&
      type !== undefined && {
        'model-index': [
          {
            name: repo.split('/').at(-1) ?? repo,
            results: [
              {
                task: { type: 'image-classification' },
                dataset: { type, name },
                metrics: [{ type: 'accuracy', value: accuracy }],
              },
            ],
          },
        ],
      }),
  };
}

function introduction(
  { config }: ImageModel,
  { dataset }: ModelInfo,
  { facts }: CardContents,
): string {
  const { arch, imageSize, channels, numClasses } = config;
  const { units, parameters, macs, accuracy } = facts;
  const trained = dataset === undefined ? '' : ` It was trained on ${titleOf(dataset)}.`;
  const known =
    accuracy === undefined ? '' : ` Its accuracy after the last step was ${percent(accuracy)}.`;
  return (
    `This is ${units.length > 0 ? 'a pruned' : 'a'} ${modelLabel(arch, config)}, which puts ${channels === 1 ? 'grey' : 'RGB'} images of ` +
    `${imageSize} x ${imageSize} pixels into ${plural(numClasses, 'class', 'classes')}.${trained}${known} It has ` +
    `${grouped(parameters.now)} parameters, and needs ${grouped(macs.now)} multiply-accumulates (MACs) for an image. ` +
    'It was made with mamba-prune.'
  );
}

const titleOf = (dataset: string): string => hubDatasets[dataset]?.[1] ?? printableLine(dataset);

/** Empty for a dense model. */
function pruningSection({ units, parameters, macs, denseAccuracy, accuracy }: CardFacts): string[] {
  if (units.length === 0) return [];
  const row = (name: string, before: number, now: number): string =>
    `| ${name} | ${grouped(before)} | ${grouped(now)} | ${percent(1 - now / before, 1)} |`;
  return [
    '## Pruning',
    'Whole units were cut away, so that every layer is smaller and no mask is left. Of units, the table has those of a ' +
      'kind in all blocks together; config.json has the width of every block.',
    [
      '| | before | now | removed |',
      '| --- | ---: | ---: | ---: |',
      ...units.map(({ kind, before, now }) => row(`units of kind \`${kind}\``, before, now)),
      row('parameters', parameters.before, parameters.now),
      row('MACs', macs.before, macs.now),
      ...(denseAccuracy !== undefined && accuracy !== undefined
        ? [`| accuracy | ${percent(denseAccuracy)} | ${percent(accuracy)} | |`]
        : []),
    ].join('\n'),
  ];
}

type Step = ModelInfo['history'][number];

/** Every step in a sentence; none of a model whose file does not tell. */
function historySection({ history }: ModelInfo): string[] {
  const steps = history.map(sentenceOf).filter((text) => text !== undefined);
  if (steps.length === 0) return [];
  return ['## How it was made', steps.map((text, i) => `${i + 1}. ${text}`).join('\n')];
}

function sentenceOf(step: Step): string | undefined {
  const text = (name: string): string | undefined => {
    const value = step[name];
    return typeof value === 'string' || typeof value === 'number'
      ? printableLine(String(value))
      : undefined;
  };
  const measured = typeof step['accuracy'] === 'number' ? step['accuracy'] : undefined;
  const then = measured === undefined ? '' : ` Its accuracy was ${percent(measured)} then.`;
  switch (step['step']) {
    case 'import':
      return `The weights were imported from ${text('source') ?? text('file') ?? 'a file'}.`;
    case 'train': {
      const from = text('from');
      return (
        `It was trained on ${titleOf(text('dataset') ?? 'images')} for ${epochsOf(step)}` +
        `${from === undefined ? '' : `, beginning with ${from}`}.${then}`
      );
    }
    case 'prune':
      return (
        `Round ${text('round') ?? '1'} of ${text('rounds') ?? '1'} of the method ${text('method') ?? ''} cut it` +
        `${cutTo(step)}; the importance was ${text('importance') ?? 'not recorded'}, and the ranking ` +
        `${text('ranking') ?? 'not recorded'}.${compensationOf(step)}`
      );
    case 'finetune':
      return `It was trained on after round ${text('round') ?? ''}, to epoch ${text('epoch') ?? ''}.${then}`;
    default:
      return undefined;
  }
}

const epochsOf = ({ epochs }: Step): string =>
  typeof epochs === 'number' ? plural(epochs, 'epoch') : 'some epochs';

/** ` (asked for: ssm 50.0%, mlp 70.0%)`, or the budget that was asked for and the rates that it came to. */
function cutTo({ rates, costBudget }: Step): string {
  const shares = entriesOf(rates)
    .filter(([, rate]) => typeof rate === 'number')
    .map(([kind, rate]) => `${kind} ${percent(rate as number, 1)}`)
    .join(', ');
  const budget = entriesOf(costBudget)
    .filter(([, amount]) => typeof amount === 'string' || typeof amount === 'number')
    .map(([what, amount]) => printableLine(`${what} ${String(amount)}`))
    .join(', ');
  if (shares === '') return '';
  return budget === ''
    ? ` (asked for: ${shares})`
    : ` (asked for: ${budget}, of which came ${shares})`;
}

const entriesOf = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null ? Object.entries(value) : [];

const compensationOf = ({ compensation }: Step): string =>
  compensation === undefined
    ? ''
    : ' The weights that read the removed units were changed at the cut to make up for them.';

function filesSection({ files, measuredOn }: CardContents): string {
  const measures = measuredOn !== undefined;
  const rows = files.map(
    ({ file, dtype, precision, fileBytes, accuracy }) =>
      `| \`${file}\` | ${dtype === undefined ? '' : `\`${dtype}\``} | ${precision} | ${grouped(fileBytes)} |` +
      (measures ? ` ${accuracy === undefined ? '' : percent(accuracy)} |` : ''),
  );
  return [
    '## Files',
    '',
    `| file | dtype of transformers.js | numbers | bytes |${measures ? ' accuracy |' : ''}`,
    `| --- | --- | --- | ---: |${measures ? ' ---: |' : ''}`,
    ...rows,
    ...(measuredOn
      ? [
          '',
          `The accuracies are those on ${imagesOf(measuredOn)} of ${titleOf(measuredOn.dataset)}.`,
        ]
      : []),
  ].join('\n');
}

/** `10,000 test images`, or how many of them were chosen. */
const imagesOf = ({ images, of }: MeasuredOn): string =>
  images < of
    ? `${grouped(images)} of the ${plural(of, 'test image')}`
    : plural(images, 'test image');

function preparationSection({ config }: ImageModel, info: ModelInfo): string {
  return `## How images are prepared\n\n${frameRule(config, info)}`;
}
