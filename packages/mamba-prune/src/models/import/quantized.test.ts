// A state dict of torch.ao.quantization.quantize_dynamic: its linear layers hold packed integers in place of weights.
import { FormatError } from '@mamba-prune/libtorch';
import { expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { chooseStateDict } from './choice.js';
import { classifierNames, isKnownLayout } from './read.js';

it('is refused for what it is, and not for a backbone without classifier', () => {
  const state = createModel('resnet18', { baseWidth: 4, blocks: [1] }).stateDict();
  const shapes = new Map(
    Array.from(state, ([name, { shape }]) => [`module.${name}`, shape] as const).filter(
      ([name]) => !name.startsWith('module.fc.'),
    ),
  );
  const others = new Map([
    ['module.fc._packed_params.dtype', 'the text "torch.qint8"'],
    ['module.fc._packed_params._packed_params', 'a list or tuple'],
  ]);
  const telling = { isModel: isKnownLayout, classifierNames };
  const choose = () => chooseStateDict([{ key: '', shapes, others }], telling);
  expect(choose).toThrow(FormatError);
  expect(choose).toThrow(
    /'module\.fc\._packed_params\._packed_params', packed weights of a quantized layer/,
  );
});
