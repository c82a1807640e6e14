import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../errors.js';
import { readTorchSaveFile, TorchSaveFile } from './read.js';
import { collectStateDict } from './state-dict.js';
import { TorchTensor } from './torch-tensor.js';
import { type PickleValue, PythonObject } from './values.js';

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'torch-save-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const asMap = (value: PickleValue | undefined) => {
  if (!(value instanceof Map)) throw new Error('expected a dict');
  return value;
};
const asTensor = (value: PickleValue | undefined) => {
  if (!(value instanceof TorchTensor)) throw new Error('expected a tensor');
  return value;
};

/** The elements of a tensor as numbers. */
function values(tensor: PickleValue | undefined): number[] {
  const { dtype } = asTensor(tensor);
  const bytes = asTensor(tensor).read();
  switch (dtype) {
    case 'F64':
      return [...new Float64Array(bytes.buffer)];
    case 'F32':
      return [...new Float32Array(bytes.buffer)];
    case 'I64':
      return [...new BigInt64Array(bytes.buffer)].map(Number);
    case 'I32':
      return [...new Int32Array(bytes.buffer)];
    case 'I16':
      return [...new Int16Array(bytes.buffer)];
    case 'F16':
    case 'BF16': // as their 16 bits
      return [...new Uint16Array(bytes.buffer)];
    case 'I8':
      return [...new Int8Array(bytes.buffer)];
    default:
      return [...bytes];
  }
}

/** The message with which reading fails; it must be a FormatError that names the file. */
async function refusal(path: string): Promise<string> {
  try {
    await readTorchSaveFile(path);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toContain(`readTorchSave "${path}"`);
    return (error as FormatError).message;
  }
  throw new Error('the file was read, expected a refusal');
}

describe('tensors of a torch.save file', () => {
  const cases: [name: string, dtype: string, shape: number[], values: number[]][] = [
    ['float32', 'F32', [2, 2], [0.5, -1, 2, 3.25]],
    ['float64', 'F64', [2, 3], [0, 0.5, 1, 1.5, 2, 2.5]],
    ['float16', 'F16', [3], [0x3c00, 0xc000, 0x3800]],
    ['bfloat16', 'BF16', [3], [0x3f80, 0xc000, 0x3f00]],
    ['int64', 'I64', [3], [1, -2, 2 ** 40]],
    ['int32', 'I32', [3], [1, -2, 2 ** 30]],
    ['int16', 'I16', [3], [1, -2, 300]],
    ['int8', 'I8', [3], [1, -2, 127]],
    ['uint8', 'U8', [3], [1, 2, 255]],
    ['bool', 'BOOL', [3], [1, 0, 1]],
    ['scalar', 'F32', [], [7]],
    ['empty', 'F32', [0, 3], []],
    ['base', 'F32', [3, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    ['transposed', 'F32', [4, 3], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]],
    ['row', 'F32', [4], [4, 5, 6, 7]],
    ['column', 'F32', [3], [2, 6, 10]],
    ['every_other', 'F32', [3, 2], [0, 2, 4, 6, 8, 10]],
    ['expanded', 'F32', [2, 4], [0, 1, 2, 3, 0, 1, 2, 3]],
    ['double_transposed', 'F64', [2, 3], [0, 0.5, 1, 1.5, 2, 2.5]],
    ['channels_last', 'I16', [1, 2, 3, 4], Array.from({ length: 24 }, (_, k) => k)],
    ['bool_permuted', 'BOOL', [2, 2], [1, 1, 0, 1]],
  ];

  it.each(cases)('have the right dtype, shape and values: %s', async (name, dtype, shape, want) => {
    const file = await TorchSaveFile.open(fixture('tensors.pt'));
    const tensor = asTensor(asMap(file.value).get(name));
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.shape).toEqual(shape);
    expect(values(tensor)).toEqual(want);
    expect(tensor.byteLength).toBe(tensor.read().byteLength);
    file.close();
  });

  it('know which of them share memory, and which ask for gradients', async () => {
    const dict = asMap(await readTorchSaveFile(fixture('tensors.pt')));
    const key = asTensor(dict.get('base')).storageKey;
    const sharing = [...dict].filter(([, t]) => asTensor(t).storageKey === key).map(([k]) => k);
    const all = ['base', 'transposed', 'row', 'column', 'every_other', 'expanded'];
    expect(sharing).toEqual(all);
    expect(asTensor(dict.get('parameter')).requiresGrad).toBe(true);
    expect(asTensor(dict.get('frozen')).requiresGrad).toBe(false);
    expect(asTensor(dict.get('base')).device).toBe('cpu');
  });

  it('cannot be read after close(), but can after readTorchSaveFile()', async () => {
    const file = await TorchSaveFile.open(fixture('protocol-4.pt'));
    file.close();
    file.close();
    expect(() => values(asMap(file.value).get('w'))).toThrow('the file is closed');
    const read = asMap(await readTorchSaveFile(fixture('protocol-4.pt')));
    expect(values(read.get('w'))).toEqual([0, 1, 2]);
  });

  it('are given out as copies, so that one caller cannot change what another sees', async () => {
    const w = asTensor(asMap(await readTorchSaveFile(fixture('protocol-4.pt'))).get('w'));
    w.read().fill(255);
    expect(values(w)).toEqual([0, 1, 2]);
  });

  it('are read from pickle protocols 4 and 5, and from torch 2 with untyped storages', async () => {
    for (const name of ['protocol-4.pt', 'protocol-5.pt']) {
      const dict = asMap(await readTorchSaveFile(fixture(name)));
      expect(values(dict.get('w'))).toEqual([0, 1, 2]);
      expect(dict.get('b')).toEqual(new Uint8Array([120, 121]));
    }
    const w = asTensor(asMap(await readTorchSaveFile(fixture('newer-torch.pt'))).get('w'));
    expect([w.dtype, w.shape, w.device, values(w)]).toEqual([
      'I16',
      [2, 2],
      'cuda:0',
      [1, 3, 2, 4],
    ]);
  });
});

describe('a training checkpoint', () => {
  it('becomes plain data', async () => {
    const dict = asMap(await readTorchSaveFile(fixture('checkpoint.pt')));
    const plain = Object.fromEntries(dict) as Record<string, PickleValue>;
    expect(plain).toMatchObject({
      epoch: 3,
      mean_acc: 0.25,
      count: -3,
      device: 'cuda:1',
      dtype: 'torch.bfloat16',
      size: [2, 3],
      torch: '1.13.0a0',
      bytes: new Uint8Array([0, 255]),
      tags: new Set(['a']),
      large: 2n ** 70n,
      negative: -(2n ** 60n),
      factory: new Map([['k', [1]]]),
    });
    expect(values(dict.get('best_acc'))).toEqual([91.5]);
    expect([...asMap(dict.get('args'))]).toEqual([
      ['arch', 'mamba_tiny'],
      ['lr', 0.01],
      ['milestones', [2, 4]],
      ['resume', null],
    ]);
    expect(asMap(dict.get('result'))).toEqual(
      new Map([
        ['train', [10.5, 20.25]],
        ['test', []],
      ]),
    );
    expect(asMap(dict.get('scheduler')).get('milestones')).toEqual(
      new Map([
        [2, 1],
        [4, 1],
      ]),
    );
    const optimizer = asMap(dict.get('optimizer'));
    const first = asMap(asMap(optimizer.get('state')).get(0));
    expect(values(first.get('step'))).toEqual([1]);
    expect(asTensor(first.get('exp_avg')).shape).toEqual([3, 2]);
    const [group] = optimizer.get('param_groups') as PickleValue[];
    expect(asMap(group).get('betas')).toEqual([0.9, 0.999]);
  });

  it('gives its state dict without the prefix of DataParallel', async () => {
    const dict = collectStateDict(await readTorchSaveFile(fixture('checkpoint.pt')));
    expect([...dict.keys()]).toEqual([
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
      '1.running_mean',
      '1.running_var',
      '1.num_batches_tracked',
    ]);
    expect(dict.get('0.weight')?.shape).toEqual([3, 2]);
    expect(values(dict.get('1.num_batches_tracked'))).toEqual([1]);
  });
});

describe('collectStateDict', () => {
  let w: TorchTensor;
  beforeAll(async () => {
    w = asTensor(asMap(await readTorchSaveFile(fixture('protocol-4.pt'))).get('w'));
  });
  const dict = (entries: Record<string, PickleValue>) =>
    new Map<PickleValue, PickleValue>(Object.entries(entries));
  const keys = (value: PickleValue, key?: string) => [
    ...collectStateDict(value, key === undefined ? {} : { key }).keys(),
  ];

  it('finds the weights in the usual places', () => {
    const weights = dict({ 'a.w': w, 'b.w': w });
    const found = ['a.w', 'b.w'];
    expect(keys(weights)).toEqual(found);
    for (const key of ['state_dict', 'model', 'model_state_dict', 'net']) {
      expect(keys(dict({ epoch: 1, [key]: weights }))).toEqual(found);
    }
    expect(keys(dict({ best: w, state_dict: weights }))).toEqual(found);
    expect(keys(dict({ model: dict({ state_dict: weights }) }))).toEqual(found);
    expect(keys(dict({ encoder: weights, epoch: 1 }))).toEqual(found);
    expect(keys(dict({ teacher: weights, student: dict({ s: w }) }), 'student')).toEqual(['s']);
    expect(keys(dict({ models: dict({ student: weights, n: 1 }) }), 'models.student')).toEqual(
      found,
    );
    expect(keys(dict({ 'v1.0': weights, v2: weights }), 'v1.0')).toEqual(found);
  });

  it('removes the prefixes of wrappers only when every name has them', () => {
    expect(keys(dict({ 'module._orig_mod.a': w, 'module._orig_mod.b': w }))).toEqual(['a', 'b']);
    expect(keys(dict({ 'module.a': w, b: w }))).toEqual(['module.a', 'b']);
  });

  it('leaves out the extra state of modules, and what is no tensor', () => {
    expect(keys(dict({ a: w, 'bn._extra_state': null }))).toEqual(['a']);
    expect(keys(dict({ m: dict({ a: w, n: 1 }) }), 'm')).toEqual(['a']);
    expect(keys(dict({ a: w, b: w, epoch: 3, optimizer: dict({}) }))).toEqual(['a', 'b']);
  });

  it('takes an average first, then the usual keys, then the top, then any other', () => {
    const places = {
      student: dict({ other: w }),
      model: dict({ model: w }),
      state_dict: dict({ raw: w }),
      state_dict_ema: dict({ average: w }),
    };
    expect(keys(dict(places))).toEqual(['average']);
    expect(keys(dict({ ...places, state_dict_ema: null }))).toEqual(['raw']);
    expect(keys(dict({ ...places, state_dict_ema: null, state_dict: null }))).toEqual(['model']);
    expect(keys(dict({ top: w, student: places.student }))).toEqual(['top']);
    for (const key of ['model_ema', 'ema', 'ema_model', 'ema_state_dict', 'swa_model']) {
      expect(keys(dict({ model: dict({ raw: w }), [key]: dict({ average: w }) }))).toEqual([
        'average',
      ]);
    }
    // A number at the top does not make it the larger one.
    expect(keys(dict({ best: w, encoder: dict({ a: w, b: w }) }))).toEqual(['a', 'b']);
  });

  it('looks into lists, tuples and objects', () => {
    expect(keys([dict({ a: w }), 1])).toEqual(['a']);
    const holder = new PythonObject('run.State', []);
    holder.state = dict({ model: dict({ a: w }) });
    expect(keys(dict({ state: holder }))).toEqual(['a']);
    expect(keys(new PythonObject('run.Named', [dict({ a: w }), 3]))).toEqual(['a']);
  });

  it('ends soon on a structure that repeats its parts', () => {
    // 1000^6 ways to the innermost list.
    let lists: PickleValue = Array<PickleValue>(1000).fill(dict({ a: w, b: w }));
    for (let level = 0; level < 5; level += 1) lists = Array<PickleValue>(1000).fill(lists);
    expect(() => keys(lists)).toThrow(FormatError);
    expect(keys(dict({ model: dict({ a: w }), lists }))).toEqual(['a']);
  });

  it('never takes the state of an optimizer', () => {
    const moments = dict({ exp_avg: w, exp_avg_sq: w });
    const optimizer = dict({ state: new Map([[0, moments]]), param_groups: [] });
    const lone = dict({ state: dict({ first: moments }), param_groups: [] });
    expect(() => keys(dict({ optimizer: moments, epoch: 1 }))).toThrow('no dict of tensors');
    expect(() => keys(lone)).toThrow('no dict of tensors');
    expect(keys(dict({ trained_by: lone, optimizer, net: dict({ a: w }) }))).toEqual(['a']);
    expect(() => keys(dict({ optimizer: moments, net: dict({ a: w }) }), 'optimizer')).toThrow(
      'expected one that holds tensors: "net"',
    );
  });

  it('says what there is when the place is not clear', () => {
    const two = dict({ teacher: dict({ a: w }), student: dict({ a: w }) });
    expect(() => keys(two)).toThrow('found 2 dicts of tensors, at "student", "teacher"');
    expect(() => keys(dict({ epoch: 1 }))).toThrow(
      'no dict of tensors in a dict with the keys "epoch"',
    );
    expect(() => keys(3)).toThrow('no dict of tensors in the number 3');
    expect(() => keys(two, 'ema')).toThrow(
      'got `key` "ema", expected one that holds tensors: "teacher", "student"',
    );
    expect(() => keys(dict({ epoch: 1 }), 'epoch')).toThrow(
      'got `key` "epoch", expected one that holds tensors: (none)',
    );
  });

  it('ends on a structure that contains itself', () => {
    const loop = dict({});
    loop.set('model', loop);
    expect(() => keys(loop)).toThrow(FormatError);
  });
});

describe('what is refused', () => {
  it('a pickle that would run a command, without running it', async () => {
    // Something else may have left it.
    rmSync('/tmp/mamba-prune-pickle-was-run', { force: true });
    expect(await refusal(fixture('malicious.pt'))).toContain(
      'got the Python global "posix.system"',
    );
    // As a placeholder it is only data.
    const dict = asMap(
      await readTorchSaveFile(fixture('malicious.pt'), { onUnknownGlobal: 'placeholder' }),
    );
    const evil = dict.get('x') as PythonObject;
    expect([evil.global, evil.args]).toEqual([
      'posix.system',
      ['touch /tmp/mamba-prune-pickle-was-run'],
    ]);
    expect(values(dict.get('w'))).toEqual([0, 1, 2]);
    expect(existsSync('/tmp/mamba-prune-pickle-was-run')).toBe(false);
  });

  it('a pickled model object, which a placeholder stands for if asked', async () => {
    expect(await refusal(fixture('whole-model.pt'))).toMatch(/"__main__\.Net".*state_dict\(\)/);
    const dict = asMap(
      await readTorchSaveFile(fixture('whole-model.pt'), { onUnknownGlobal: 'placeholder' }),
    );
    const net = dict.get('net') as PythonObject;
    expect(net).toBeInstanceOf(PythonObject);
    expect(asMap(net.state).get('training')).toBe(true);
    expect(values(dict.get('w'))).toEqual([0, 1, 2]);
  });

  it('a tensor of an element type that we do not have', async () => {
    expect(await refusal(fixture('complex.pt'))).toMatch(/"torch\.ComplexFloatStorage".*convert/);
    const dict = asMap(
      await readTorchSaveFile(fixture('complex.pt'), { onUnknownGlobal: 'placeholder' }),
    );
    expect((dict.get('c') as PythonObject).global).toBe('torch._utils._rebuild_tensor_v2');
    expect(values(dict.get('w'))).toEqual([0, 1, 2]);
  });

  it('other formats, with the way to convert them', async () => {
    expect(await refusal(fixture('torchscript.pt'))).toMatch(/TorchScript.*torch\.jit\.load/);
    expect(await refusal(fixture('big-endian.pt'))).toContain('got byte order "big"');
    expect(await refusal(fixture('compressed.pt'))).toMatch(
      /compressed entry.*torch\.save\(torch\.load/,
    );
    expect(await refusal(fixture('make-fixtures.py'))).toContain('got a text beginning with');
    expect(await refusal(fixture(''))).toContain('got a folder');
    const empty = join(folder, 'empty.pt');
    writeFileSync(empty, '');
    expect(await refusal(empty)).toContain('got an empty file');
    await expect(readTorchSaveFile(join(folder, 'none.pt'))).rejects.toThrow('ENOENT');
  });

  it('a file cut at any place', async () => {
    const good = readFileSync(fixture('protocol-4.pt'));
    const path = join(folder, 'cut.pt');
    for (let length = 0; length < good.length; length += 5) {
      writeFileSync(path, good.subarray(0, length));
      await refusal(path);
    }
  });

  it('storage bytes with a wrong checksum, unless told not to check', async () => {
    const bytes = readFileSync(fixture('protocol-4.pt'));
    const at = bytes.indexOf(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]));
    bytes[at] = 5;
    const path = join(folder, 'flipped.pt');
    writeFileSync(path, bytes);
    const message = await refusal(path);
    expect(message).toContain('storage 0: got checksum');
    // A command that reads the file has no flag for what a program can say.
    expect(message).not.toContain('checkCrc');
    const file = await TorchSaveFile.open(path); // the structure is intact
    expect(() => values(asMap(file.value).get('w'))).toThrow('got checksum');
    file.close();
    const unchecked = asMap(await readTorchSaveFile(path, { checkCrc: false }));
    expect(values(unchecked.get('w'))).toEqual([0, 5, 2]);
  });

  /** protocol-4.pt with a part of its pickle replaced by as many bytes; its checksum is not updated. */
  function patched(from: number[], to: number[]): string {
    const bytes = readFileSync(fixture('protocol-4.pt'));
    const at = bytes.indexOf(Buffer.from(from));
    expect(at).toBeGreaterThan(0);
    bytes.set(to, at);
    const path = join(folder, 'patched.pt');
    writeFileSync(path, bytes);
    return path;
  }
  // The tensor's arguments: offset K 0, shape K 3 TUPLE1 MEMOIZE, strides K 1 TUPLE1.
  const layout = [0x4b, 0, 0x4b, 3, 0x85, 0x94, 0x4b, 1, 0x85];
  const layouts: [what: string, to: number[], message: string][] = [
    [
      'a shape beyond the storage',
      [0x4b, 0, 0x4b, 4, 0x85, 0x94, 0x4b, 1, 0x85],
      'ends at byte 32',
    ],
    [
      'an offset beyond the storage',
      [0x4b, 1, 0x4b, 3, 0x85, 0x94, 0x4b, 1, 0x85],
      'ends at byte 32',
    ],
    [
      'strides beyond the storage',
      [0x4b, 0, 0x4b, 3, 0x85, 0x94, 0x4b, 2, 0x85],
      'ends at byte 40',
    ],
    ['a shape that is no number', [0x4b, 0, 0x4e, 0x30, 0x4b, 3, 0x94, 0x4b, 1], 'as a shape'],
    ['a stride that is no number', [0x4b, 0, 0x4b, 3, 0x85, 0x94, 0x4b, 1, 0x94], 'as strides'],
  ];
  it.each(layouts)('%s', async (_, to, message) => {
    const path = patched(layout, to);
    await expect(readTorchSaveFile(path, { checkCrc: false })).rejects.toThrow(FormatError);
    await expect(readTorchSaveFile(path, { checkCrc: false })).rejects.toThrow(message);
  });

  it('nothing but FormatErrors for files changed at random, in bounded time', async () => {
    const names = ['tensors.pt', 'checkpoint.pt', 'protocol-4.pt', 'newer-torch.pt'];
    let state = 12345;
    const pick = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const path = join(folder, 'fuzz.pt');
    const outcome = { read: 0, refused: 0 };
    for (let round = 0; round < 400; round += 1) {
      const bytes = readFileSync(fixture(names[round % names.length] ?? ''));
      for (let k = pick(6); k >= 0; k -= 1) {
        // Half of the changes hit the zip directory at the end, which little else would reach.
        const at = pick(2) === 0 ? pick(bytes.length) : bytes.length - 1 - pick(400);
        bytes[at] = pick(3) === 0 ? 0xff : pick(256);
      }
      writeFileSync(path, bytes);
      try {
        const onUnknownGlobal = round % 2 === 0 ? 'refuse' : 'placeholder';
        const value = await readTorchSaveFile(path, { checkCrc: false, onUnknownGlobal });
        for (const item of value instanceof Map ? value.values() : []) {
          if (item instanceof TorchTensor) item.read();
        }
        outcome.read += 1;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        outcome.refused += 1;
      }
    }
    expect(outcome.refused).toBeGreaterThan(100);
    expect(outcome.read).toBeGreaterThan(25);
  });
});

describe('a file of the torch that is installed', () => {
  it('has the bytes that torch says, for random layouts', async (context) => {
    const path = join(folder, 'random.pt');
    // 77: this Python has no torch. The digest is over the contiguous bytes of every tensor.
    const script = `
import sys
try:
    import torch
except ImportError:
    sys.exit(77)
import json, random
random.seed(0)
torch.manual_seed(0)
tensors = {}
for i in range(60):
    dtype = random.choice([torch.float32, torch.float64, torch.int64, torch.int16, torch.uint8])
    t = torch.randint(0, 100, [random.randint(1, 5) for _ in range(random.randint(0, 4))]).to(dtype)
    if t.dim():
        t = t.permute(random.sample(range(t.dim()), t.dim()))
        d = random.randrange(t.dim())
        t = t.narrow(d, random.randrange(t.shape[d]), 1) if random.random() < 0.3 else t
        t = t[..., :: random.randint(1, 2)]
    tensors[str(i)] = t
torch.save(tensors, sys.argv[1])
print(json.dumps({k: [list(t.shape), t.contiguous().numpy().tobytes().hex()] for k, t in tensors.items()}))
`;
    const python = (command: string) =>
      spawnSync(command, ['-c', script, path], { encoding: 'utf8' });
    let run = python('python3');
    // A python3 of another place may hide the system's, which has Debian's torch.
    if (run.status === 77) run = python('/usr/bin/python3');
    if (run.error !== undefined || run.status === 77) context.skip('no python3 with torch here');
    expect(run.stderr).toBe('');
    const want = JSON.parse(run.stdout) as Record<string, [number[], string]>;
    const dict = asMap(await readTorchSaveFile(path));
    expect([...dict.keys()]).toEqual(Object.keys(want));
    for (const [key, [shape, hex]] of Object.entries(want)) {
      const tensor = asTensor(dict.get(key));
      expect(tensor.shape).toEqual(shape);
      expect(Buffer.from(tensor.read()).toString('hex')).toBe(hex);
    }
  });
});
