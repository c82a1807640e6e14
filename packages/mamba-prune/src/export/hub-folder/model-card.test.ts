// Whose accuracy a card tells: that of all test images the hub too, that of some only people, with how many.
import { manualSeed } from '@mamba-prune/libtorch';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { createModel } from '../../models/registry.js';
import { factsOf } from './facts.js';
import { modelCard } from './model-card.js';

const names = Array.from({ length: 10 }, (_, i) => `class ${i}`);

function cardOf(
  images: number,
  classes: string[] = names,
): {
  readonly front: Record<string, unknown>;
  readonly page: string;
} {
  manualSeed(1);
  const model = createModel('mamba_nano', { dModel: 8, depth: 1, dState: 2, imageSize: 8 });
  const info = {
    classes,
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    dataset: 'cifar10',
    history: [{ step: 'train', dataset: 'cifar10', epochs: 2, accuracy: 0.875 }],
  };
  const card = modelCard(model, info, {
    repo: 'lab/cut',
    license: 'mit',
    facts: factsOf(model, info),
    files: [{ file: 'model.safetensors', precision: 'float32', fileBytes: 9000, accuracy: 0.25 }],
    measuredOn: { dataset: 'cifar100', images, of: 10_000 },
  });
  model.dispose();
  const [, front = '', page = ''] = card.split(/^---$/m);
  return { front: parse(front) as Record<string, unknown>, page };
}

const resultOf = ({ 'model-index': index }: Record<string, unknown>): unknown =>
  (index as { results: unknown[] }[])[0]?.results[0];

it('is told the hub where all test images were measured', () => {
  const { front, page } = cardOf(10_000);
  expect(resultOf(front)).toMatchObject({
    dataset: { name: 'CIFAR-100' },
    metrics: [{ type: 'accuracy', value: 0.25 }],
  });
  expect(page).toContain('The accuracies are those on 10,000 test images of CIFAR-100.');
});

it('of some images stands in the table, with their number, and not where the hub takes it for that of all', () => {
  const { front, page } = cardOf(16);
  // What the history tells is of the data that the model was trained on.
  expect(resultOf(front)).toMatchObject({
    dataset: { name: 'CIFAR-10' },
    metrics: [{ type: 'accuracy', value: 0.875 }],
  });
  expect(page).toContain('The accuracies are those on 16 of the 10,000 test images of CIFAR-100.');
  expect(page).toContain('25.00%');
});

it('says how many classes there are, whether or not they have names', () => {
  for (const classes of [names, []]) {
    expect(cardOf(16, classes).page).toContain('images of 8 x 8 pixels into 10 classes.');
  }
});
