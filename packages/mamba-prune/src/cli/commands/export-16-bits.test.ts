// What a model keeps of its 16 bits for each weight when it is written into another file.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { storedFormats } from '../../models/stored-weights.js';
import { runCli } from '../testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-export-16-'));
const at = (name: string): string => join(folder, name);
const formats = ['float16', 'bfloat16', 'float32'] as const;

beforeAll(() => {
  manualSeed(3);
  const model = createModel('mamba_nano', { dModel: 16, depth: 1, dState: 2, imageSize: 8 });
  const info = { classes: [], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], history: [] };
  for (const dtype of formats) saveModel(at(`${dtype}.safetensors`), model, info, { dtype });
  model.dispose();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const sizeOf = (name: string): number => statSync(at(name)).size;
const exported = async (name: string, out: string, ...more: string[]): Promise<object> => {
  const args = ['export', at(`${name}.safetensors`), '--out', at(out), ...more, '--json'];
  const { status, stdout, stderr } = await runCli(args);
  expect(stderr).not.toContain('error');
  expect(status).toBe(0);
  return JSON.parse(stdout) as object;
};

describe('export to safetensors', () => {
  it.each(formats)('keeps %s, to the bit and the byte', async (dtype) => {
    const out = `again-${dtype}.safetensors`;
    expect(await exported(dtype, out)).toMatchObject({ dtype, fileBytes: sizeOf(out) });
    expect(readFileSync(at(out))).toEqual(readFileSync(at(`${dtype}.safetensors`)));
  });

  it('writes the bits that --dtype asks for, and says which they are', async () => {
    expect(await exported('bfloat16', 'wide.safetensors', '--dtype', 'float32')).toMatchObject({
      dtype: 'float32',
    });
    expect(sizeOf('wide.safetensors')).toBe(sizeOf('float32.safetensors'));
    const [wide, narrow] = ['wide', 'bfloat16'].map((name) =>
      loadModel(at(`${name}.safetensors`)).model.stateDict(),
    );
    for (const [key, tensor] of wide ?? [])
      expect(tensor.equal(narrow?.get(key) ?? tensor.neg()), key).toBe(true);
    await exported('float32', 'narrow.safetensors', '--dtype', 'float16');
    expect(readFileSync(at('narrow.safetensors'))).toEqual(readFileSync(at('float16.safetensors')));
    const out = at('said.safetensors');
    const { stdout } = await runCli(['export', at('float16.safetensors'), '--out', out]);
    expect(stdout).toMatch(/weights +matrices in float16, all else in float32/);
  });
});

describe('a folder for the hub', () => {
  it('has the bits of the model, and its card says so', async () => {
    const more = ['--format', 'hf', '--no-verify', '--license', 'mit'];
    await exported('bfloat16', 'hub', ...more);
    const weights = join('hub', 'model.safetensors');
    expect(storedFormats(at(weights))).toEqual(storedFormats(at('bfloat16.safetensors')));
    expect(readFileSync(at('hub/README.md'), 'utf8')).toMatch(
      /`model.safetensors` \| +\| matrices in bfloat16, all else in float32 \|/,
    );
  });
});
