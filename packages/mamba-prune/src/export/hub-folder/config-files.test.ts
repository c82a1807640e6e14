import { describe, expect, it } from 'vitest';
import { createModel } from '../../models/registry.js';
import { configJson } from './config-files.js';

describe('config.json', () => {
  const model = createModel('resnet20', { blocks: [1, 1], baseWidth: 4, numClasses: 3 });
  const info = { mean: [0.5, 0.5, 0.5], std: [1, 1, 1], history: [] };

  it('has the names of the classes', () => {
    expect(configJson(model, { ...info, classes: ['ant', 'bee', 'cat'] })).toMatchObject({
      id2label: { 0: 'ant', 1: 'bee', 2: 'cat' },
      label2id: { ant: 0, bee: 1, cat: 2 },
    });
  });

  it('has a label for each class of a model that knows no names, so that looking one up finds it', () => {
    expect(configJson(model, { ...info, classes: [] })).toMatchObject({
      id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' },
      label2id: { LABEL_0: 0, LABEL_1: 1, LABEL_2: 2 },
    });
  });
});
