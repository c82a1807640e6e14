// Names of tensors as nobody means them: too long, twice, or with what a terminal obeys.
import { type Tensor, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { chooseStateDict } from './choice.js';
import { importStateDict } from './model.js';
import { moduleWords } from './module-words.js';
import { telling } from './read.js';

const sizes = { dModel: 24, depth: 1, heads: 3, imageSize: 8, patchSize: 4, numClasses: 2 };

/** The tensors of a small model, and others. */
function withModel(others: Readonly<Record<string, Tensor>>): Map<string, Tensor> {
  const model = createModel('vit_tiny', sizes);
  const tensors = Array.from(model.stateDict(), ([name, tensor]): [string, Tensor] => [
    name,
    tensor.clone(),
  ]);
  model.dispose();
  return new Map([...tensors, ...Object.entries(others)]);
}

const options = { ...sizes, arch: 'vit_tiny' };

describe('a name of a tensor', () => {
  it.each(['w'.repeat(1_000_000), `${'w'.repeat(1_000_000)}_g`, '.'.repeat(1_000_000)])(
    'of a million characters takes no longer than others, and is cut in the message',
    (name) => {
      const read = (): unknown => importStateDict(new Map([[name, zeros([4])]]));
      expect(read).toThrow(/got tensors (?:w+|\.+)\.\.\., expected the names of/);
      try {
        read();
      } catch (error) {
        expect((error as Error).message.length).toBeLessThan(1000);
      }
    },
  );

  it('of a million points in a pickled module takes no longer than others', () => {
    const name = '.'.repeat(1_000_000);
    const dict = { key: '', shapes: new Map([[name, [4]]]), modules: new Map() };
    const names = new Map([[name, name]]);
    expect(moduleWords({ dict, key: '', names, notes: [], advice: [] })?.functions).toEqual([]);
  });

  it('is refused where another one is the same without what wrappers put before it', () => {
    const twice = withModel({ '_orig_mod.head.bias': zeros([2]) });
    expect(() => importStateDict(twice, options)).toThrow(
      "got both 'head.bias' and '_orig_mod.head.bias', which are both 'head.bias' without what wrappers put before names",
    );
  });
});

it('the key of a state dict is shown, and not obeyed', () => {
  const shapes = new Map(Array.from(withModel({}), ([name, { shape }]) => [name, shape]));
  const { notes } = chooseStateDict(
    [
      { key: 'model\x1b[31m\nx', shapes },
      { key: 'other\u202e', shapes },
    ],
    telling,
  );
  expect(notes.join()).toContain(
    String.raw`Took the weights at "model\u001b[31m\nx"; the file holds others at "other\u202e"`,
  );
});
