// Checkpoints as people have them, each read as the weights that are in it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Tensor,
  loadTorchSave,
  memoryStats,
  saveSafetensors,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { chooseStateDict } from './choice.js';
import { type ImportOptions, type ImportedModel, importModel } from './model.js';
import { settledMemory } from '../../../../../test/support/garbage.js';
import { pythonWith, unlessPython } from '../../../../../test/support/python.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const folder = mkdtempSync(join(tmpdir(), 'checkpoints-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/checkpoint-${name}`, import.meta.url));

const sizes: ImportOptions = { arch: 'resnet20', blocks: [1, 1], baseWidth: 2 };

const read = (path: string, key?: string): Promise<ImportedModel> =>
  importModel(path, key === undefined ? sizes : { ...sizes, key });

/** Names and values of everything that a model keeps. */
function values(tensors: ReadonlyMap<string, Tensor>): [string, readonly number[]][] {
  return Array.from(tensors, ([name, tensor]) => [name, tensor.toNumbers()] as const)
    .map(([name, numbers]): [string, readonly number[]] => [name, numbers])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const weights = async (path: string, key?: string): Promise<[string, readonly number[]][]> => {
  const { model } = await read(path, key);
  const found = values(model.stateDict());
  model.dispose();
  return found;
};

/** Without what every ResNet of another program is said to be taken with. */
const ofTheFile = (notes: readonly string[]): string[] =>
  notes.filter((note) => !note.startsWith('Taken as usual, for no shape tells it'));

describe('a checkpoint', () => {
  it('says that averages without names, as torch_ema keeps them, were not taken', async () => {
    const path = fixture('torch-ema.pt');
    expect(await weights(path)).toEqual(await weights(fixture('plain.pt')));
    expect((await read(path)).notes.join(' ')).toContain(
      "The averages at 'ema.shadow_params' were not taken: they are a list without names, as torch_ema keeps them.",
    );
  });

  it('gives the weights that are in it', async () => {
    const path = fixture('plain.pt');
    expect(await weights(path)).toEqual(values(await loadTorchSave(path)));
    expect(ofTheFile((await read(path)).notes)).toEqual([]);
  });

  it.each([
    ['sparse-bias.pt', /'fc\.bias', a sparse tensor.*\.to_dense\(\)/],
    ['quantised-bias.pt', /'net\.fc\.bias', a quantised tensor.*\.dequantize\(\)/],
    [
      'float8.pt',
      /got 'conv1\.weight', a tensor of float8_e4m3fn, the first of 32 such tensors, expected a dense tensor of float64, float32, float16 or bfloat16\. Convert it where it was saved, with \.float\(\)/,
    ],
    ['float8-matrices.pt', /'conv1\.weight', a tensor of float8_e4m3fn, the first of 7 such/],
    [
      'complex-bias.pt',
      /'fc\.bias', a tensor of complex64, expected a dense tensor of float64.*Only real numbers/,
    ],
  ])(
    'with a parameter that cannot be read is refused, and not read without it: %s',
    async (name, message) => {
      await expect(read(fixture(name))).rejects.toThrow(message);
    },
  );

  it('of no architecture here names what cannot be read beside what can', async () => {
    const complex = new URL(
      '../../../../libtorch/src/torch-save/fixtures/complex.pt',
      import.meta.url,
    );
    await expect(importModel(fileURLToPath(complex))).rejects.toThrow(
      /got tensors w, expected the names of .* 1 tensor of the file cannot be read: c \(a tensor of complex64\)\. Only real numbers can be read\.$/,
    );
    const other = (what: string, advice: string) => ({ what, advice });
    const dict = {
      key: '',
      shapes: new Map(['w', 'half', 'eighth'].map((name) => [name, [2, 2]])),
      unreadable: new Map([
        ['half', other('a quantised tensor', 'Convert it with .dequantize().')],
        ['eighth', other('a tensor of float8_e5m2', 'Convert it with .float().')],
      ]),
    };
    const notes = (isModel: boolean): readonly string[] =>
      chooseStateDict([dict], { isModel: () => isModel }).notes;
    expect(notes(false)).toEqual([
      '2 tensors of the file cannot be read: half (a quantised tensor), eighth (a tensor of float8_e5m2). Convert it with .dequantize().',
    ]);
    expect(() => notes(true)).toThrow(/got 'half', a quantised tensor, the first of 2 such/);
  });

  it('may be a whole module, of the time before torch 1.6', async () => {
    const path = fixture('legacy-module.pt');
    expect(await weights(path)).toEqual(await weights(fixture('plain.pt')));
    const { notes, info } = await read(path);
    expect(ofTheFile(notes)).toEqual([
      expect.stringMatching(
        /whole pickled module \(class torch\..*DataParallel\); no code was run/,
      ),
    ]);
    expect(info.history).toMatchObject([{ key: 'model' }]);
  });

  it('may be a module that torch.fx traced', async () => {
    const path = fixture('graph.pt');
    expect(await weights(path)).toEqual(await weights(fixture('plain.pt')));
    const { notes, info } = await read(path);
    expect(ofTheFile(notes)).toEqual([
      expect.stringMatching(
        /whole pickled module \(class torch\.fx\.graph_module\.GraphModule\); no code was run/,
      ),
    ]);
    expect(info.history[0]).not.toHaveProperty('key');
  });

  it('may hold arrays of numpy', async () => {
    expect(await weights(fixture('numpy.pt'))).toEqual(await weights(fixture('plain.pt')));
  });

  it('may be pruned by masks, which are multiplied in', async () => {
    const tensors = await loadTorchSave(fixture('masks.pt'));
    const { model, notes } = await read(fixture('masks.pt'));
    const masked = tensors.get('conv1.weight_orig')?.mul(tensors.get('conv1.weight_mask') ?? NaN);
    const weight = model.stateDict().get('conv1.weight')?.toNumbers();
    expect(weight).toEqual(masked?.toNumbers());
    expect(weight?.filter((value) => value === 0)).toHaveLength(9); // one of two filters of 3 x 3
    expect(ofTheFile(notes)).toEqual([
      'Multiplied by their masks of torch.nn.utils.prune: conv1.weight.',
    ]);
  });

  it('may hold several models, of which the usual one is taken and the others are named', async () => {
    const path = fixture('several.pt');
    expect(await weights(path)).toEqual(await weights(fixture('plain.pt')));
    const { notes, info } = await read(path);
    expect(ofTheFile(notes)).toEqual([
      'Took the weights at "state_dict.encoder_q"; the file holds others at "state_dict.encoder_k": `key` chooses.',
      "Left out 1 entry that is not the model's: loss.weight.",
    ]);
    expect(info.history).toMatchObject([{ key: 'state_dict.encoder_q' }]);
  });

  it('gives the model that a key names', async () => {
    const path = fixture('several.pt');
    const zeros = await weights(path, 'state_dict.encoder_k');
    expect(zeros.every(([, numbers]) => numbers.every((value) => value === 0))).toBe(true);
    expect(await weights(path, 'state_dict.model.encoder_k')).toEqual(zeros);
    expect(ofTheFile((await read(path, 'state_dict.encoder_k')).notes)).toEqual([
      "Left out 1 entry that is not the model's: loss.weight.",
    ]);
    // A key of several leaves a choice.
    expect((await read(path, 'state_dict')).notes[0]).toMatch(/others at "state_dict\.encoder_k"/);
    expect(await weights(fixture('plain.pt'), '.')).toEqual(await weights(fixture('plain.pt')));
  });

  it('names the models behind prefixes of a safetensors file, too', async () => {
    const tensors = await loadTorchSave(fixture('plain.pt'));
    const both = ['student.', 'ema.'].flatMap((prefix) =>
      Array.from(tensors, ([name, tensor]) => [prefix + name, tensor] as const),
    );
    const path = join(folder, 'both.safetensors');
    saveSafetensors(path, new Map(both));
    expect(ofTheFile((await read(path)).notes)).toEqual([
      'Took the weights at "ema"; the file holds others at "student": `key` chooses.',
    ]);
    expect(await weights(path, 'student')).toEqual(await weights(fixture('plain.pt')));
    await expect(read(path, 'teacher')).rejects.toThrow(
      'import: `key`: got "teacher", expected one that holds tensors: "ema", "student"',
    );
  });

  it.each(['optimizer', 'optimizer.state', 'ema', 'state_dict.encoder'])(
    'has no weights at %s, and says where there are some',
    async (key) => {
      const refused = read(fixture('several.pt'), key);
      await expect(refused).rejects.toThrow(UsageError);
      await expect(refused).rejects.toThrow(
        `${fixture('several.pt')}: import: \`key\`: got "${key}", expected one that holds tensors: ` +
          '"state_dict.encoder_q", "state_dict.encoder_k", "state_dict".',
      );
    },
  );

  it('leaves no tensor behind, read or refused', async () => {
    const before = (await settledMemory()).tensors;
    for (const name of ['masks.pt', 'several.pt']) (await read(fixture(name))).model.dispose();
    await expect(importModel(fixture('masks.pt'), { arch: 'resnet56' })).rejects.toThrow(
      UsageError,
    );
    await expect(read(fixture('several.pt'), 'none')).rejects.toThrow(UsageError);
    expect(memoryStats().tensors).toBe(before);
  });
});

const python = pythonWith('torch, numpy');

// Every file holds the weights of plain.pt; `changed` is another model of the same sizes.
const script = `
import argparse, collections, copy, datetime, enum, fractions, functools, os, pathlib, random, sys, uuid
sys.dont_write_bytecode = True
import numpy as np, torch
from torch import nn
folder, plain = sys.argv[1:]
state = torch.load(plain)
other = {k: v + 1 for k, v in state.items()}
under = lambda prefix, values=state: {prefix + k: v for k, v in values.items()}
class Color(enum.Enum): RED = 1
class Config(dict): __getattr__ = dict.get
class Named:
    def __new__(cls, *, a): return object.__new__(cls)
    def __getnewargs_ex__(self): return (), {"a": 1}
class Slots:
    __slots__ = ("a",)
    def __init__(self): self.a = 1
Run = collections.namedtuple("Run", "weights epoch")
objects = dict(namespace=argparse.Namespace(a=1, p=pathlib.PurePosixPath("/a")), date=datetime.datetime(2024, 1, 1),
    zone=datetime.timezone.utc, counter=collections.Counter("aab"), queue=collections.deque([1], maxlen=3),
    default=collections.defaultdict(list, a=[1]), size=torch.Size([1]), device=torch.device("cpu"), dtype=torch.float16,
    partial=functools.partial(print, 1, end=""), function=nn.functional.relu, type=nn.Linear, random=random.Random(1),
    complex=1 + 2j, slice=slice(1, 2), range=range(3), dots=Ellipsis, bytes=bytearray(b"x"), frozen=frozenset([1]),
    iterator=iter([1, 2]), fraction=fractions.Fraction(1, 2), uuid=uuid.uuid4(), enum=Color.RED, config=Config(b=Config(c=1)),
    named=Named(a=1), slots=Slots(), loss=nn.CrossEntropyLoss(), complexes=torch.zeros(2, dtype=torch.complex64),
    sparse=torch.eye(3).to_sparse(), quantized=torch.quantize_per_tensor(torch.ones(2), .1, 0, torch.qint8),
    generator=np.random.default_rng(0), records=np.zeros(2, dtype=[("a", "f4")]), masked=np.ma.masked_array([1, 2], [0, 1]))
values = dict(text=np.str_("a"), half=np.float16(.9), date=np.datetime64("2024-01-01"), flag=np.bool_(True), bytes=np.bytes_(b"x"),
    complex=np.complex64(1j), long=np.longdouble(1.5), void=np.void(b"abc"))
parameters = [nn.Parameter(torch.ones(2))]
adam = torch.optim.Adam(parameters)
parameters[0].sum().backward()
adam.step()
holder = type("Holder", (), {})
holder.__module__, holder.__qualname__ = "__main__", "Holder"
Holder = holder
held = Holder(); held.state_dict = state
everything = torch.cat([v.reshape(-1).double() for v in state.values()]).float()
files = {
    "objects": {"model": state, **objects}, "values": {"state_dict": state, **values}, "namedtuple": Run(state, 1),
    "tuple": (state, 1), "list": [1, {"model": state}], "object": held, "ordered": collections.OrderedDict(state),
    "shadow": {"model": state, "ema": {k: v + 1 for k, v in state.items() if "running" not in k and "num_b" not in k}},
    "inner": {k.replace("layer1.", "layer1._orig_mod.").replace("0.conv1", "0._checkpoint_wrapped_module.conv1"): v for k, v in state.items()},
    "nested": {"checkpoint": {"net": {"state_dict": under("module.")}}}, "number": {**state, "epoch": 3, "loss": torch.tensor(.5)},
    "average": {"n_averaged": torch.tensor(3), **under("module.")}, "backbone": {"state_dict": under("backbone.")},
    "compiled": under("_orig_mod.module."), "lightning": {"state_dict": {**under("net."), "criterion.weight": torch.ones(3)}}, "losses": {**state, "loss_fn.weight": torch.ones(3), "class_weights": torch.ones(3)},
    "counters": {**state, "total_ops": torch.zeros(1), "conv1.total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "timm": {"state_dict": other, "state_dict_ema": under("module.")}, "torchvision": {"model": other, "model_ema": under("module.")},
    "ema-names": {**under("model.", other), **under("ema_model.")}, "ema-top": {**other, **under("ema.")},
    "dino": {"student": under("module.backbone."), "teacher": under("backbone.", other)},
    "none": {"state_dict": None, "ema": {}, "model": state}, "optimizer": {"optimizer": adam.state_dict(), "best": state},
    "optimizer-object": {"optimizer": adam, "model": state, "rng": torch.get_rng_state()},
    "parameters": {k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in state.items()},
    "channels-last": {k: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in state.items()},
    "fortran": {"net": {k: np.asfortranarray(v.numpy()) for k, v in state.items()}},
    "big-endian": {k: v.numpy().astype(v.numpy().dtype.newbyteorder(">")) for k, v in state.items()},
    "double": {k: v.double().numpy() if v.is_floating_point() else v.numpy() for k, v in state.items()},
}
for name, value in files.items():
    for kind, options in {"zip": {}, "old": {"_use_new_zipfile_serialization": False}}.items():
        for protocol in (2, 4):
            torch.save(value, f"{folder}/{name}-{kind}-{protocol}.pt", pickle_protocol=protocol, **options)
# Weight normalisation in both of PyTorch's ways, with what PyTorch computes of it.
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.conv1 = nn.Conv2d(1, 2, 3, 1, 1, bias=False)
nn.utils.spectral_norm(net := nn.Linear(4, 3))
torch.save({**state, **{"fc." + k: v for k, v in net.state_dict().items()}}, f"{folder}/spectral.pt")
for name, norm in {"old": nn.utils.weight_norm, "new": getattr(nn.utils.parametrizations, "weight_norm", None)}.items():
    if norm is None: continue
    net = Net()
    net.load_state_dict({k: v for k, v in state.items() if k in ("fc.weight", "fc.bias", "conv1.weight")})
    norm(net.fc), norm(net.conv1, dim=None if name == "old" else 1)
    with torch.no_grad():
        for k, v in net.named_parameters(): v.mul_(1.5) if k.endswith(("_g", "original0")) else None
    if name == "old": net.fc(torch.zeros(1, 4)), net.conv1(torch.zeros(1, 1, 3, 3))
    rest = {k: v for k, v in state.items() if k not in ("fc.weight", "conv1.weight")}
    torch.save({**rest, **net.state_dict()}, f"{folder}/norm-{name}.pt")
    torch.save({"fc.weight": net.fc.weight.detach(), "conv1.weight": net.conv1.weight.detach()}, f"{folder}/norm-{name}-expected.pt")
open(f"{folder}/names", "w").write(" ".join(files))
`;

const names = [
  'objects',
  'values',
  'namedtuple',
  'tuple',
  'list',
  'object',
  'ordered',
  'nested',
  'number',
  'average',
  'backbone',
  'compiled',
  'lightning',
  'counters',
  'timm',
  'torchvision',
  'ema-names',
  'ema-top',
  'dino',
  'none',
  'optimizer',
  'optimizer-object',
  'parameters',
  'channels-last',
  'fortran',
  'big-endian',
  'double',
  'shadow',
  'inner',
  'losses',
];

describe.skipIf(python === undefined)(
  `checkpoints that Python wrote${unlessPython(python, 'torch and numpy')}`,
  () => {
    beforeAll(() => {
      execFileSync(python ?? '', ['-W', 'ignore', '-c', script, folder, fixture('plain.pt')], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    });

    it.each(names)('give the weights that are in them: %s', async (name) => {
      const expected = await weights(fixture('plain.pt'));
      for (const kind of ['zip-2', 'zip-4', 'old-2', 'old-4']) {
        expect(await weights(join(folder, `${name}-${kind}.pt`)), kind).toEqual(expected);
      }
    });

    const notes: [name: string, notes: string[]][] = [
      ['number', ["Left out 2 entries that are not the model's: loss, epoch (the number 3)."]],
      ['average', ["Left out 1 entry that is not the model's: n_averaged."]],
      [
        'counters',
        [
          "Left out 3 entries that are not the model's: total_ops, conv1.total_ops, fc.total_params.",
        ],
      ],
      ['lightning', ["Left out 1 entry that is not the model's: criterion.weight."]],
      [
        'timm',
        [
          'Took the weights at "state_dict_ema"; the file holds others at "state_dict": `key` chooses.',
        ],
      ],
      [
        'ema-top',
        [
          'Took the weights at "ema"; the file holds others at "." (the top of the file): `key` chooses.',
        ],
      ],
      ['double', ['Converted 32 tensors from float64 to float32.']],
    ];
    it.each(notes)('say what was taken of them: %s', async (name, expected) => {
      expect(ofTheFile((await read(join(folder, `${name}-zip-2.pt`))).notes)).toEqual(expected);
    });

    it('have the weights at "." if the key says so', async () => {
      const raw = await weights(join(folder, 'timm-zip-2.pt'), 'state_dict');
      expect(raw).not.toEqual(await weights(fixture('plain.pt')));
      expect(await weights(join(folder, 'ema-top-zip-2.pt'), '.')).toEqual(raw);
    });

    it('give weights under weight normalisation as PyTorch computes them', async (context) => {
      let seen = 0;
      for (const kind of ['old', 'new']) {
        const expected = await loadTorchSave(join(folder, `norm-${kind}-expected.pt`)).catch(
          () => undefined, // This PyTorch has only the old way.
        );
        if (expected === undefined) continue;
        seen += 1;
        const { model, notes } = await read(join(folder, `norm-${kind}.pt`));
        for (const [name, tensor] of expected) {
          const found = model.stateDict().get(name)?.toNumbers() ?? [];
          tensor.toNumbers().forEach((value, at) => {
            // A norm, a division and a product in float32, of values below 1: a few roundings of 6e-8.
            expect(Math.abs((found[at] ?? NaN) - value), `${kind} ${name}`).toBeLessThan(1e-6);
          });
        }
        expect(ofTheFile(notes)).toEqual([
          expect.stringMatching(
            /^Computed from the direction and length of weight normalisation: /,
          ),
        ]);
      }
      if (seen === 0) context.skip('this PyTorch has no weight normalisation');
    });

    it('are refused by name where a function makes the weights', async () => {
      await expect(read(join(folder, 'spectral.pt'))).rejects.toThrow(
        /spectral\.pt: import: got weights that a function makes of others \(fc\.weight_orig\).*remove_spectral_norm/,
      );
    });
  },
);
