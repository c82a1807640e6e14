// Settings as training scripts keep them (fixtures/make-settings.py), as plain data.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TorchCheckpoint } from './checkpoint.js';
import { type PlainValue, plainValue } from './plain.js';
import { PythonObject } from './values.js';

const map = (entries: Readonly<Record<string, PlainValue>>): PlainValue =>
  new Map(Object.entries(entries));

const omegaconf = map({
  // Without the reference `${model.arch}`, and without `???`, which nobody has filled in.
  model: map({ arch: 'vit', heads: 3, eps: 1e-6, none: null }),
  classes: ['cat', 'dog'],
  mean: [0.5, 0.25],
});

describe('settings in a checkpoint', () => {
  let file: TorchCheckpoint;
  beforeAll(async () => {
    const path = fileURLToPath(new URL('fixtures/settings.pt', import.meta.url));
    file = await TorchCheckpoint.open(path, { onUnknownGlobal: 'placeholder' });
  });
  afterAll(() => {
    file.close();
  });

  it.each<[string, PlainValue | undefined]>([
    ['omegaconf', omegaconf],
    ['in_namespace', map({ cfg: omegaconf, out: '/runs/a' })],
    ['list_of_omegaconf', ['cat', 'dog']],
    ['structured', map({ arch: 'vit', mode: 'bicubic' })],
    ['dataclass', map({ arch: 'vit', mode: 'bicubic' })],
    ['slots', map({ arch: 'vit', heads: 3 })],
    ['namespace', map({ arch: 'vit', level: 3 })],
    ['names', ['cat', 'dog']],
    ['deque', [1, 2]],
    ['texts', ['cat', 'd\u00f6g']],
    ['bytes', ['cat', 'dogs']],
    ['objects', ['cat', null]],
    ['table_of_texts', undefined],
    ['torch', map({ size: [3, 8], dtype: 'torch.bfloat16', device: 'cuda:1' })],
    ['half', [0.5, 0.25]],
    ['bfloat', -1.5],
    ['truth', [true, false]],
  ])('are plain data: %s', (name, expected) => {
    expect(file.plainEntry(name)).toEqual(expected);
  });
});

it('an object with many attributes that stands in a list again and again is not copied each time', () => {
  const object = new PythonObject('my.Config', []);
  object.state = new Map(Array.from({ length: 100_000 }, (_, i) => [`a${i}`, i]));
  // 20 billion entries, if each were looked at.
  expect(plainValue(Array.from({ length: 200_000 }, () => object))).toBeUndefined();
});

it('an object that stands for itself ends', () => {
  const container = new PythonObject('omegaconf.dictconfig.DictConfig', []);
  container.state = new Map([['_content', container]]);
  expect(plainValue(container)).toBeUndefined();
});
