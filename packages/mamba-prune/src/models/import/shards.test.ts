// Weights that are split over several files are read as those of one, and what does not fit together is refused.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Tensor, loadTorchSave, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { type ImportOptions, importModel } from './model.js';
import { weightsBytes } from './shards.js';

const folder = mkdtempSync(join(tmpdir(), 'shards-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A ResNet of two stages, as torch.save wrote it. */
const whole = fileURLToPath(new URL('../fixtures/checkpoint-plain.pt', import.meta.url));
const sizes: ImportOptions = { arch: 'resnet20', blocks: [1, 1], baseWidth: 2 };

const first = 'model-00001-of-00002.safetensors';
const second = 'model-00002-of-00002.safetensors';

/** As `save_pretrained` splits: half of the tensors in each file. @returns the index */
async function split(name: string, change: (places: Record<string, string>) => void = () => {}) {
  const to = join(folder, name);
  mkdirSync(to);
  const all = [...(await loadTorchSave(whole))];
  const places: Record<string, string> = {};
  const half = Math.floor(all.length / 2);
  for (const [file, tensors] of [
    [first, all.slice(0, half)],
    [second, all.slice(half)],
  ] as const) {
    saveSafetensors(join(to, file), new Map<string, Tensor>(tensors), {});
    for (const [tensor] of tensors) places[tensor] = file;
  }
  change(places);
  const index = join(to, 'model.safetensors.index.json');
  writeFileSync(index, JSON.stringify({ metadata: { total_size: 1 }, weight_map: places }));
  return index;
}

describe('split weights', () => {
  it('are the model that they were before', async () => {
    const index = await split('plain');
    const { model, info } = await importModel(index, sizes);
    const { model: expected } = await importModel(whole, sizes);
    const got = model.stateDict();
    expect([...got.keys()]).toEqual([...expected.stateDict().keys()]);
    for (const [name, tensor] of expected.stateDict()) {
      expect(got.get(name)?.equal(tensor), name).toBe(true);
    }
    expect(info.history).toMatchObject([{ file: 'model.safetensors.index.json' }]);
  });

  it('may be files of torch.save', async () => {
    const to = join(folder, 'torch');
    mkdirSync(to);
    copyFileSync(whole, join(to, 'pytorch_model-00001-of-00001.bin'));
    const names = [...(await loadTorchSave(whole)).keys()];
    const places = names.map((name) => [name, 'pytorch_model-00001-of-00001.bin']);
    const index = join(to, 'pytorch_model.bin.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: Object.fromEntries(places) as unknown }));
    const { model } = await importModel(index, sizes);
    expect(model.config.widths).toEqual((await importModel(whole, sizes)).model.config.widths);
  });

  it('take the bytes of all files', async () => {
    const index = await split('bytes');
    const parts = [first, second].map((file) => weightsBytes(join(folder, 'bytes', file)));
    expect(weightsBytes(index)).toBe((parts[0] ?? NaN) + (parts[1] ?? NaN));
  });

  it('are refused where a file is missing', async () => {
    const index = await split('missing');
    rmSync(join(folder, 'missing', second));
    const reading = importModel(index, sizes);
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow(
      /1 of the 2 files of its weights are not beside it \(model-00002-of-00002\.safetensors\), expected all/,
    );
  });

  it('are refused where a file has not what the index says', async () => {
    const index = await split('other', (places) => {
      places['fc.bias'] = first;
    });
    await expect(importModel(index, sizes)).rejects.toThrow(
      /says that 'fc\.bias' lies in model-00001-of-00002\.safetensors, which has no such tensor/,
    );
  });

  it('are refused where a file has what the index does not name', async () => {
    const index = await split('unnamed', (places) => {
      delete places['fc.bias'];
    });
    await expect(importModel(index, sizes)).rejects.toThrow(
      /says nothing of 'fc\.bias', which lies in model-00002-of-00002\.safetensors/,
    );
  });

  it.each([
    ['ring.safetensors', /are not beside it \(ring\.safetensors\)/],
    [`${'x'.repeat(5000)}.safetensors`, /are not beside it \(x{120}\.\.\.\)/],
  ])('are refused where a file cannot be looked at: %#', async (name, message) => {
    const index = await split(`unreachable-${name.length}`, (places) => {
      places['fc.bias'] = name;
    });
    const ring = 'ring.safetensors';
    symlinkSync(ring, join(dirname(index), ring));
    const reading = importModel(index, sizes);
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow(message);
  });

  it('are refused in few printable characters, whatever the tensors are called', async () => {
    const index = await split('long', (places) => {
      places[`\u001b[2J${'x'.repeat(10_000)}`] = first;
    });
    const { message } = (await importModel(index, sizes).catch((error: unknown) => error)) as Error;
    expect(message).toContain('which has no such tensor');
    expect(message).not.toContain('\u001b');
    expect(message.length).toBeLessThan(500 + index.length);
  });

  it.each([
    '../out.safetensors',
    '/etc/out.safetensors',
    '..',
    '.',
    'a\\b.safetensors',
    'a\0b.safetensors',
    // It would be read again and again.
    'model.safetensors.index.json',
    'pytorch_model.bin.index.json',
  ])(
    'are refused where the index leads out of the folder, or to what is no file of weights: %j',
    async (place) => {
      const index = await split(`out-${encodeURIComponent(place).slice(0, 40)}`, (places) => {
        places['fc.bias'] = place;
      });
      await expect(importModel(index, sizes)).rejects.toThrow(/expected the name of a file beside/);
    },
  );

  it.each([
    ['{', /got no JSON/],
    ['[]', /got JSON without one/],
    ['{"weight_map": {"a": 1}}', /got JSON without one/],
    ['{"weight_map": {}}', /got no tensors/],
  ])('are refused with an index of %s', async (text, message) => {
    const index = join(folder, 'bad.safetensors.index.json');
    writeFileSync(index, text);
    await expect(importModel(index, sizes)).rejects.toThrow(message);
  });
});
