import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave } from '../index.js';
import { TorchCheckpoint } from './checkpoint.js';
import { otherTensor } from './other-tensor.js';
import { collectStateDict } from './state-dict.js';
import { type PickleValue, PythonObject } from './values.js';
import { floats, int64, keys, start, structure, text } from './testing/write-legacy.js';

const folder = mkdtempSync(join(tmpdir(), 'objects-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A file of `{x: object, w: tensor([1, 2])}`; the object is what these opcodes leave on the stack. */
function fileWith(object: string): string {
  const path = join(folder, 'objects.pt');
  const dict = structure('K\x02');
  const parts = [start, dict.slice(0, 3), text('x'), object, 's', dict.slice(3), keys('0')];
  writeFileSync(
    path,
    Buffer.concat([Buffer.from(parts.join(''), 'latin1'), int64(2n), floats(1, 2)]),
  );
  return path;
}

const storage = (type: string): string =>
  `(${text('storage')}ctorch\n${type}\n${text('0')}${text('cpu')}K\x02tQ`;
const dims = 'K\x00K\x02\x85K\x01\x85\x89}';

// Each was a file that could not be read for what lies beside its tensors, or would be one.
const objects: [what: string, opcodes: string][] = [
  ['an object with named arguments', 'cmy.run\nConfig\n)}X\x01\0\0\0aK\x01s\x92'],
  ['a call of what getattr found', `c__builtin__\ngetattr\ncmy.run\nColor\n${text('RED')}\x86R)R`],
  ['functools.partial', 'cfunctools\npartial\ncmy.run\nf\n\x85R(cmy.run\nf\n)}NtbK\x01\x85R'],
  ['a class of Python 2', 'ccopy_reg\n_reconstructor\n(cmy.run\nOld\nc__builtin__\nobject\nNtR}b'],
  ['a state that is no dict', 'cmy.run\nSlots\n)\x81N}\x86b'],
  ['a state for a namespace that is no dict', 'cargparse\nNamespace\n)R)b'],
  ['a state for a class', 'cmy.run\nMeta\n}b'],
  ['a state for a number', 'K\x01}b'],
  [
    'a tensor of another type',
    `ctorch._utils\n_rebuild_tensor_v3\n(${storage('UntypedStorage').replace('K\x02tQ', 'K\x08tQ')}${dims}ctorch\nfloat8_e4m3fn\ntR`,
  ],
  [
    'a tensor that a class wraps',
    `ctorch._tensor\n_rebuild_from_type_v2\n(cmy.run\nmake\ncmy.run\nT\n)}tR`,
  ],
  ['a parameter of an object', 'ctorch._utils\n_rebuild_parameter\n(cmy.run\nT\n)R\x88}tR'],
  ['a list subclass', 'cmy.run\nList\n)\x81(K\x01K\x02e'],
  ['a dict subclass', `cmy.run\nDict\n)\x81(${text('a')}K\x01u`],
];

describe('an entry of a checkpoint', () => {
  const entry = async (opcodes: string): Promise<unknown> => {
    const file = await TorchCheckpoint.open(fileWith(opcodes), { onUnknownGlobal: 'placeholder' });
    try {
      return file.plainEntry('x');
    } finally {
      file.close();
    }
  };
  const small = `ctorch._utils\n_rebuild_tensor_v2\n(${storage('FloatStorage')}K\x00K\x02\x85K\x01\x85\x89}tR`;
  const named = (key: string, value: string): string => `}${text(key)}${value}s`;

  it.each([
    ['a text', text('vit'), 'vit'],
    ['a list', `](${text('a')}${text('b')}e`, ['a', 'b']],
    ['None in a list', '](NK\x01e', [null, 1]],
    ['a dict with numbers for keys', `}K\x01${text('b')}s`, new Map([['1', 'b']])],
    [
      'a namespace',
      `cargparse\nNamespace\n)R${named('model', text('vit'))}b`,
      new Map([['model', 'vit']]),
    ],
    ['a dict of its own class', `cmy.run\nDict\n)\x81(${text('a')}K\x01u`, new Map([['a', 1]])],
    ['an object', `cmy.run\nConfig\n)\x81${named('a', 'K\x01')}b`, new Map([['a', 1]])],
    ['a small tensor', small, [1, 2]],
    ['a list of what has no place', '](cmy.run\nf\ne', undefined],
    [
      'what has no place in a dict',
      `}(${text('a')}cmy.run\nf\n${text('b')}K\x01u`,
      new Map([['b', 1]]),
    ],
  ])('is plain data: %s', async (_, opcodes, expected) => {
    expect(await entry(opcodes)).toEqual(expected);
  });

  it('ends where a dict holds itself', async () => {
    let depth = 0;
    let found = await entry(`}q\x07${text('a')}h\x07s`);
    for (; found instanceof Map; depth++) found = found.get('a');
    expect(depth).toBeGreaterThan(1);
    expect(depth).toBeLessThan(20);
  });
});

describe('objects beside the tensors', () => {
  it.each(objects)('do not keep them from being read: %s', async (_, opcodes) => {
    const path = fileWith(opcodes);
    const tensors = await loadTorchSave(path, { onUnknownGlobal: 'placeholder' });
    expect(tensors.get('w')?.toNumbers()).toEqual([1, 2]);
  });

  it('are named with their element type where they are tensors of another one', async () => {
    const tensor = (type: string): string =>
      `ctorch._utils\n_rebuild_tensor_v3\n(${storage('UntypedStorage').replace('K\x02tQ', 'K\x08tQ')}${dims}ctorch\n${type}\ntR`;
    for (const type of ['float8_e4m3fn', 'float8_e8m0fnu', 'complex64']) {
      await expect(loadTorchSave(fileWith(tensor(type)))).rejects.toThrow(
        `: tensor "x": got the text "torch.${type}" as its dtype, expected one of float64, float32, float16, bfloat16, `,
      );
    }
  });

  it('are said to be what they are where there are no tensors beside them', () => {
    const other = otherTensor('torch._utils._rebuild_tensor_v2', [
      new PythonObject('torch.ComplexFloatStorage', []),
      0,
      [2, 3],
      [3, 1],
    ]);
    expect(other).toMatchObject({ what: 'a tensor of complex64', shape: [2, 3] });
    const value = new Map<PickleValue, PickleValue>([['a', new Map([['b', other ?? null]])]]);
    expect(() => collectStateDict(value)).toThrow(
      'collectStateDict: got "b", a tensor of complex64, expected a dense tensor of one of float64, ',
    );
  });

  it.each(objects)('are refused where placeholders are not asked for: %s', async (_, opcodes) => {
    await expect(loadTorchSave(fileWith(opcodes))).rejects.toThrow(FormatError);
  });
});
