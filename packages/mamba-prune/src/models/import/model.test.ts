import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  FormatError,
  type Tensor,
  loadSafetensors,
  memoryStats,
  noGrad,
  randn,
  saveSafetensors,
  setNumThreads,
  zeros,
} from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ModelOptions } from '../model-options.js';
import { type ImportOptions, importModel, importStateDict } from './model.js';
import { loadModel, saveModel } from '../model-file.js';
import { createModel } from '../registry.js';
import { relativeDifference } from '../testing/parity.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const folder = mkdtempSync(join(tmpdir(), 'import-model-'));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const python = '/usr/bin/python3';
const peers = fileURLToPath(new URL('../../../../../benchmarks/peers', import.meta.url));

// Files as training scripts leave them, one wrapped in another way each, with what PyTorch computes.
const script = `
import argparse, sys
sys.dont_write_bytecode = True
sys.path.insert(0, ${JSON.stringify(peers)})
import torch, torch_mamba, torch_resnet, torch_vit
torch.manual_seed(0)
mamba = torch_mamba.Mamba(16, 2, 4, num_classes=5, image_size=12)
models = {
    "vit": (torch_vit.small(), 12), "mamba": (mamba, 12),
    "basic": (torch_resnet.small("basic"), 12), "bottleneck": (torch_resnet.small("bottleneck"), 24),
}
for name, (model, side) in models.items():
    state, x = model.eval().state_dict(), torch.randn(2, 3, side, side)
    with torch.no_grad():
        torch_mamba.save_safetensors(f"{sys.argv[1]}/{name}.expected", {"input": x, "logits": model(x)})
    torch_mamba.save_safetensors(f"{sys.argv[1]}/{name}.safetensors", state)
    parallel = torch.nn.DataParallel(model).state_dict()
    torch.save(state, f"{sys.argv[1]}/{name}-plain.pt")
    torch.save({"model": state, "epoch": 3, "args": argparse.Namespace(arch=name)}, f"{sys.argv[1]}/{name}-model.pth")
    torch.save({"state_dict": parallel, "best_acc": torch.tensor(0.5)}, f"{sys.argv[1]}/{name}-state_dict.pth.tar")
    torch.save({"model_state": state, "ema": state}, f"{sys.argv[1]}/{name}-model_state.bin")
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, f"{sys.argv[1]}/{name}-half.pt")
`;

function missingTorch(): string | undefined {
  try {
    execFileSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${python} has no torch and numpy (Debian: python3-torch)`;
  }
}
const reason = missingTorch();

const options: Record<string, ImportOptions> = {
  vit: { arch: 'vit_tiny', dModel: 24, depth: 2, heads: 3 },
  mamba: { arch: 'mamba_tiny', dModel: 16, depth: 2, dState: 4, scan: 'uni' },
  basic: { arch: 'resnet20', blocks: [2, 1], baseWidth: 8, imageSize: 12 },
  bottleneck: { arch: 'resnet50', blocks: [2, 1], baseWidth: 4, imageSize: 24 },
};

describe.skipIf(reason !== undefined)(
  `files that PyTorch wrote${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    beforeAll(() => {
      execFileSync(python, ['-c', script, folder], { stdio: ['ignore', 'ignore', 'inherit'] });
    });

    const wrappings = [
      '.safetensors',
      '-plain.pt',
      '-model.pth',
      '-state_dict.pth.tar',
      '-model_state.bin',
      '-half.pt',
    ];
    it.each(Object.keys(options).flatMap((name) => wrappings.map((w) => [name, w] as const)))(
      'give the same logits here: %s%s',
      async (name, wrapping) => {
        const { model, info } = await importModel(at(name + wrapping), options[name]);
        const { tensors } = loadSafetensors(at(`${name}.expected`));
        const logits = noGrad(() => model.forward(tensors.get('input') as Tensor));
        // Two or three blocks in float32: roundings of 6e-8, in another order. Half precision rounds
        // every weight by 2^-11 = 5e-4 relative; the logits are sums of terms of both signs.
        const tolerance = wrapping === '-half.pt' ? 1e-2 : 1e-5;
        expect(relativeDifference(logits, tensors.get('logits') as Tensor)).toBeLessThan(tolerance);
        expect(model.config.numClasses).toBe(5);
        expect(model.training).toBe(false);
        expect(info.history).toMatchObject([{ step: 'import', file: name + wrapping }]);
      },
    );

    it('take the state dict that the key names', async () => {
      const path = at('vit-model_state.bin');
      const { info } = await importModel(path, { ...options['vit'], key: 'ema' });
      expect(info.history).toMatchObject([{ key: 'ema' }]);
      await expect(importModel(path, { ...options['vit'], key: 'teacher' })).rejects.toThrow(
        /"teacher".*"ema"/,
      );
      await expect(
        importModel(at('vit.safetensors'), { ...options['vit'], key: 'ema' }),
      ).rejects.toThrow(
        /vit\.safetensors: import: `key`: got "ema", expected none: .* has no keys/,
      );
    });
  },
);

describe('importStateDict', () => {
  /** What is left of a model when only its tensors are kept; as a file of another program. */
  const tensorsOf = (arch: string, sizes: ModelOptions = {}): Map<string, Tensor> =>
    createModel(arch, sizes).stateDict();

  it.each([
    ['vit_tiny', { numClasses: 7, imageSize: 48, patchSize: 16, channels: 1 }],
    ['mamba_nano', { scan: 'bi', imageSize: 28, channels: 1 }],
    ['resnet20', {}],
    ['resnet56', { numClasses: 100 }],
    ['resnet18', { imageSize: 224, channels: 1 }],
  ] as const)('finds %s and its sizes from the shapes alone', (arch, sizes) => {
    const model = createModel(arch, sizes);
    const found = importStateDict(model.stateDict());
    expect(found.model.config).toEqual(model.config);
    const [name, value] = [...model.stateDict()].at(-1) as [string, Tensor];
    expect(found.model.stateDict().get(name)?.equal(value)).toBe(true);
  });

  it('asks for the order of the scans of one direction, which no shape tells', () => {
    const tensors = tensorsOf('mamba_nano');
    const found = (options: ModelOptions): unknown =>
      importStateDict(tensors, options).model.config;
    expect(() => found({})).toThrow(UsageError);
    expect(() => found({})).toThrow(/may be for uni or for cross.*`scan`/);
    expect(found({ scan: 'uni' })).toMatchObject({ scan: 'uni' });
    const usual = importStateDict(tensors, { oneDirection: 'uni' });
    expect(usual.model.config).toMatchObject({ scan: 'uni' });
    expect(usual.assumed).toContain('scan uni');
    expect(found({ scan: 'cross' })).toMatchObject({ scan: 'cross' });
    expect(() => found({ scan: 'bi' })).toThrow(/weights of one direction, expected uni or cross/);
    expect(() =>
      importStateDict(tensorsOf('mamba_nano', { scan: 'bi' }), { scan: 'cross' }),
    ).toThrow(/two directions, expected bi/);
  });

  it('says what it had to assume', () => {
    expect(importStateDict(tensorsOf('vit_tiny')).assumed).toEqual([
      'heads 3',
      'pooling token',
      'mean 0.485/0.456/0.406',
      'std 0.229/0.224/0.225',
      'interpolation bilinear',
      'cropShare 0.875',
    ]);
    const said = importStateDict(tensorsOf('resnet20'), {
      imageSize: 40,
      dataset: 'cifar10',
      classes: Array.from({ length: 10 }, (_, i) => `class ${i}`),
      mean: [0.1, 0.2, 0.3],
      std: [1, 1, 1],
      interpolation: 'bicubic',
      cropShare: 0.95,
    });
    expect(said.assumed).toEqual([]);
    expect(said.info.preprocessing).toEqual({ interpolation: 'bicubic', cropShare: 0.95 });
    expect(said.model.config.imageSize).toBe(40);
    expect(said.info).toMatchObject({ dataset: 'cifar10', mean: [0.1, 0.2, 0.3], std: [1, 1, 1] });
    expect(said.info.classes).toHaveLength(10);
    const grey = importStateDict(tensorsOf('resnet20', { channels: 1 }));
    expect(grey.info).toMatchObject({ mean: [0.5], std: [0.5], classes: [] });
    const cifar = importStateDict(tensorsOf('resnet20'), { dataset: 'cifar10' });
    expect(cifar.info.preprocessing).toEqual({ interpolation: 'bilinear', cropShare: 1 });
    expect(() => importStateDict(tensorsOf('resnet20'), { cropShare: 2 })).toThrow(
      'import: `cropShare`: got 2, expected a number from 0.01 to 1.',
    );
  });

  it('reads the widths of pruned models', () => {
    const pruned = {
      vit_tiny: { 'blocks.3.attn': 1, 'blocks.3.mlp': 100 },
      mamba_nano: {
        'blocks.1.ssm': 50,
        'blocks.2.mlp': 9,
        'blocks.0.state': 3,
        'blocks.3.dt_rank': 1,
      },
      resnet20: { 'layer2.1.conv1': 5 },
    };
    for (const [arch, widths] of Object.entries(pruned)) {
      const model = createModel(arch).withWidths(widths);
      const said = { vit_tiny: { headDim: 64 }, mamba_nano: { scan: 'uni' } as const };
      const options = Object.hasOwn(said, arch) ? said[arch as keyof typeof said] : {};
      expect(importStateDict(model.stateDict(), options).model.config).toEqual(model.config);
    }
  });

  it('removes what wrappers put before every name, and only then', () => {
    const state = tensorsOf('resnet20');
    const wrapped = (prefix: string): Map<string, Tensor> =>
      new Map(Array.from(state, ([name, t]) => [prefix + name, t]));
    for (const prefix of ['module.', '_orig_mod.module.', 'model.']) {
      expect(importStateDict(wrapped(prefix)).model.config.arch).toBe('resnet20');
    }
    // What does not lie behind the prefix is none of the model's.
    const more = importStateDict(new Map([...wrapped('module.'), ['fc.weight', zeros([1])]]));
    expect(more.notes[0]).toBe("Left out 1 entry that is not the model's: fc.weight.");
    const without = new Map([...wrapped('module.')].filter(([name]) => name !== 'module.bn1.bias'));
    expect(() => importStateDict(new Map([...without, ['bn1.bias', zeros([10])]]))).toThrow(
      /1 missing: bn1\.bias\. Left out 1 entry that is not the model's: bn1\.bias\./,
    );
  });

  it('does without the counters that PyTorch before 0.4.1 did not write', () => {
    const state = tensorsOf('resnet20');
    for (const name of [...state.keys()]) {
      if (name.endsWith('num_batches_tracked')) state.delete(name);
    }
    const { model } = importStateDict(state);
    expect(model.stateDict().get('bn1.num_batches_tracked')?.item()).toBe(0);
  });

  it('lists everything that is missing, unexpected or of another shape', () => {
    const state = tensorsOf('vit_tiny');
    state.delete('blocks.2.norm2.bias');
    state.set('odd_token', zeros([1, 1, 192]));
    state.set('blocks.1.attn.proj.weight', zeros([192, 128]));
    const message =
      /1 missing: blocks\.2\.norm2\.bias; 1 unexpected: odd_token; blocks\.1\.attn\.proj\.weight is \[192, 128\], expected \[192, 192\]/;
    expect(() => importStateDict(state)).toThrow(message);
    expect(() => importStateDict(state)).toThrow(FormatError);
  });

  it('says which tensor a truncated file lacks', () => {
    const state = tensorsOf('resnet20');
    state.delete('fc.weight');
    expect(() => importStateDict(state)).toThrow(/without 'fc\.weight'/);
    const vit = tensorsOf('vit_tiny');
    vit.set('pos_embed', randn([1, 51, 192]));
    expect(() => importStateDict(vit)).toThrow(/50 patches, expected a square/);
  });

  it('reads sizes that no architecture has, under the name of the closest', () => {
    const shallow = tensorsOf('vit_small', { depth: 2 });
    const { model, notes } = importStateDict(shallow, { heads: 6 });
    expect(model.config).toMatchObject({ arch: 'vit_small', dModel: 384, depth: 2, headDim: 64 });
    expect(notes).toContain(
      'No architecture here has these sizes: the model is called vit_small, and has `depth` 2 as the file has it.',
    );
    // Heads are told by no shape and by no name of another width.
    const narrow = tensorsOf('vit_tiny', { dModel: 48, depth: 2, heads: 4 });
    expect(() => importStateDict(narrow)).toThrow(/no shape tells how many heads.*Give `heads`/);
    expect(importStateDict(narrow, { heads: 4 }).model.config).toMatchObject({
      arch: 'vit_tiny',
      dModel: 48,
      depth: 2,
      headDim: 12,
    });
    expect(importStateDict(shallow, { dModel: 384, depth: 2, heads: 6 }).model.config).toEqual(
      model.config,
    );
    const resnet = tensorsOf('resnet20', { baseWidth: 4, blocks: [1, 2, 1] });
    expect(importStateDict(resnet)).toMatchObject({
      model: { config: { arch: 'resnet20', baseWidth: 4, blocks: [1, 2, 1] } },
      notes: expect.arrayContaining([
        expect.stringMatching(/called resnet20, and has `blocks` 1,2,1 and `baseWidth` 4 as/),
      ]) as unknown,
    });
    const mamba = tensorsOf('mamba_nano', { dModel: 8, depth: 1 });
    expect(importStateDict(mamba, { scan: 'uni' }).model.config).toMatchObject({
      dModel: 8,
      depth: 1,
    });
    expect(importStateDict(tensorsOf('vit_small')).notes).not.toContainEqual(
      expect.stringContaining('No architecture'),
    );
  });

  it('refuses what is said of sizes where the file has others', () => {
    const shallow = tensorsOf('vit_small', { depth: 2 });
    expect(() => importStateDict(shallow, { depth: 3 })).toThrow(
      /^import: the weights are not as asked for: `depth` is 2, expected 3\. Leave out/,
    );
  });

  it('refuses an architecture that the shapes contradict', () => {
    const small = tensorsOf('vit_small', { depth: 2 });
    expect(() => importStateDict(small, { arch: 'vit_tiny' })).toThrow(
      /not those of vit_tiny as asked for: `dModel` is 384, expected 192; `depth` is 2, expected 12.*such as `dModel` 384 `depth` 2\. Got attentions of width 384 .*Give `heads`/,
    );
    expect(() => importStateDict(tensorsOf('resnet20'), { arch: 'resnet50' })).toThrow(
      /not those of resnet50 as asked for.*They are those of resnet20: name it, or leave `arch` out\.$/,
    );
    const narrow = tensorsOf('resnet20', { baseWidth: 4 });
    expect(() => importStateDict(narrow, { arch: 'resnet50' })).toThrow(
      /not those of resnet50 as asked for.*such as `arch` resnet20 `baseWidth` 4\.$/,
    );
    expect(() => importStateDict(small, { arch: 'resnet20' })).toThrow(
      /`arch` 'resnet20' for the weights of a vit, expected one of vit_tiny, vit_small, vit_base/,
    );
    const { config } = importStateDict(small, { arch: 'vit_small', depth: 2 }).model;
    expect(config).toMatchObject({ arch: 'vit_small', depth: 2, headDim: 64 });
  });

  it('refuses options that contradict the shapes or that the family does not have', () => {
    const state = tensorsOf('resnet20');
    const give = (said: ImportOptions) => () => importStateDict(state, said);
    expect(give({ arch: 'resnet20', numClasses: 100 })).toThrow(/`numClasses` is 10, expected 100/);
    expect(give({ arch: 'resnet20', heads: 3 })).toThrow(/resnet20: got the option `heads`/);
    // What is wrong is what was said, and not that no architecture has the file's sizes.
    expect(give({ stem: 'imagenet' })).toThrow(
      /those of resnet20, are not as asked for: `stem` is cifar, expected imagenet/,
    );
    expect(give({ pooling: 'mean' })).toThrow(/the option `pooling` for the weights of a resnet/);
    expect(give({ classes: ['a', 'b'] })).toThrow(
      /got 2 values for `classes` \(a, b\), expected 10/,
    );
    expect(give({ mean: [0] })).toThrow(/got 1 value for `mean` \(0\), expected 3/);
    expect(give({ mean: [0] })).toThrow(UsageError);
    expect(() => importStateDict(tensorsOf('vit_tiny'), { heads: 5 })).toThrow(
      /5 heads for a width of 192/,
    );
  });

  it('refuses tensors of no known layout', () => {
    expect(() => importStateDict(new Map([['encoder.w', zeros([2])]]))).toThrow(
      /got tensors encoder\.w, expected the names of the vision Mamba in PyTorch, of a VisionTransformer of timm, torchvision or mmpretrain, of a ViT of Hugging Face, of a ResNet of .*, of a VMamba of .*, or of a Vim of .*\. An architecture of your own is read with a plugin that defines it/,
    );
    expect(() => importStateDict(new Map())).toThrow(/got tensors \(none\)/);
  });

  it('leaves no tensor behind when it refuses', () => {
    const state = tensorsOf('resnet20');
    state.set('extra', zeros([2]));
    const before = memoryStats().tensors;
    expect(() => importStateDict(state)).toThrow(
      /1 unexpected: extra.*\. If the forward pass does not read what is unexpected, save the file without it\. If it does, .*plugin/,
    );
    expect(memoryStats().tensors).toBe(before);
  });
});

describe('importModel', () => {
  it('reads model files of ours, and refuses what contradicts them', async () => {
    const model = createModel('resnet20', { baseWidth: 4 }).withWidths({ 'layer1.0.conv1': 2 });
    const info = {
      classes: Array.from('abcdefghij'),
      mean: [0, 0, 0],
      std: [1, 1, 1],
      history: [],
    };
    saveModel(at('own.safetensors'), model, info);
    const found = await importModel(at('own.safetensors'), { arch: 'resnet20' });
    expect(found).toMatchObject({ info, assumed: [] });
    expect(found.model.config).toEqual(model.config);
    await expect(
      importModel(at('own.safetensors'), { arch: 'vit_tiny', numClasses: 100 }),
    ).rejects.toThrow(/`arch` "resnet20", asked for "vit_tiny", `numClasses` 10, asked for 100/);
    const vit = createModel('vit_tiny', { dModel: 24, depth: 1, heads: 3 });
    saveModel(at('own-vit.safetensors'), vit, info);
    await expect(
      importModel(at('own-vit.safetensors'), { pooling: 'mean', eps: 1e-12 }),
    ).rejects.toThrow(/`pooling` "token", asked for "mean", `eps` 0.000001, asked for 1e-12/);
  });

  it('takes a safetensors file for one whatever the bytes of its length are', async () => {
    const model = createModel('resnet20', { baseWidth: 4 });
    // The first bytes are the length of the header, which grows with the metadata.
    const firsts = new Set<number>();
    for (let padding = 0; padding < 256; padding += 8) {
      const path = at('padded.safetensors');
      saveSafetensors(path, model.stateDict(), { note: ' '.repeat(padding) });
      firsts.add(readFileSync(path)[0] ?? -1);
      const found = await importModel(path, { arch: 'resnet20', baseWidth: 4 });
      expect(found.model.config).toEqual(model.config);
      found.model.dispose();
    }
    // All that a multiple of 8 can begin with, 0x80 among them, which begins a pickle.
    expect(firsts.size).toBe(32);
    expect(firsts).toContain(0x80);
  });

  const others: [what: string, content: string, message: RegExp][] = [
    ['a web page', '<!DOCTYPE html><html>404</html>', /got a web page \(HTML\)/],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 22000000\n',
      /got a Git LFS pointer.*git lfs pull/,
    ],
    ['an empty file', '', /got an empty file/],
    ['a gzip archive', '\x1f\x8b\x08\0', /got a gzip archive.*gunzip/],
    ['a zip archive', 'PK\x05\x06'.padEnd(22, '\0'), /got a zip archive/],
  ];
  it.each(others)('says of %s what it is and what to do', async (_, content, message) => {
    const path = at('other.pth');
    writeFileSync(path, content, 'latin1');
    const error: unknown = await importModel(path).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
    expect(() => loadModel(path)).toThrow(FormatError);
    expect(() => loadModel(path)).toThrow(message);
  });

  it('names the file in everything that it refuses', async () => {
    saveSafetensors(at('other.safetensors'), new Map([['x', zeros([1])]]));
    writeFileSync(at('nonsense.bin'), 'nonsense');
    writeFileSync(at('legacy.pth'), Buffer.from([0x80, 2, 0x8a, 0x0a]));
    writeFileSync(at('broken.pt'), 'PK nothing more');
    for (const name of ['other.safetensors', 'nonsense.bin', 'legacy.pth', 'broken.pt']) {
      const error: unknown = await importModel(at(name)).catch((e: unknown) => e);
      expect(error, name).toBeInstanceOf(FormatError);
      expect((error as Error).message, name).toContain(at(name));
    }
    for (const name of ['absent.pt', '.']) {
      const error: unknown = await importModel(at(name)).catch((e: unknown) => e);
      expect(error, name).toBeInstanceOf(UsageError);
      expect((error as Error).message, name).toContain(at(name));
    }
  });
});
