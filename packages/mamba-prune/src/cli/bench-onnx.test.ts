// What bench says of ONNX files: what each computes in is in the file, whatever is asked for. And that commands free what they open.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildOnnxModel } from '../export/build-model.js';
import { OnnxModel } from '../export/onnx-model.js';
import { saveModel } from '../models/model-file.js';
import { VisionMamba } from '../models/mamba/model.js';
import { createModel } from '../models/registry.js';
import { encodeModel } from '../onnx/proto.js';
import { smallInfo, smallSizes } from './testing/model-files.js';
import { run } from './program.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-bench-onnx-'));
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  manualSeed(5);
  const model = createModel('mamba_nano', smallSizes);
  saveModel(at('ours.safetensors'), model, smallInfo);
  for (const [name, options] of [
    ['float.onnx', {}],
    ['half.onnx', { dtype: 'float16' }],
    ['weights.onnx', { quantize: 'int8' }],
    ['integers.onnx', { quantize: 'int8-dynamic' }],
  ] as const) {
    writeFileSync(at(name), encodeModel(buildOnnxModel(model, smallInfo, options)));
  }
  model.dispose();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Told {
  readonly precision: string;
  readonly models: readonly { readonly precision: string; readonly notes: readonly string[] }[];
}

const bench = (names: readonly string[], ...more: string[]) =>
  runCli(
    ['bench', ...names.map(at), '--batch', '1', '--runs', '1', '--min-time', '0'].concat(more),
  );

describe('bench of ONNX files', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('releases them where a measurement fails', async () => {
    const release = vi.spyOn(OnnxModel.prototype, 'release');
    vi.spyOn(OnnxModel.prototype, 'prepare').mockImplementation(() => {
      throw new Error('onnxruntime has had enough');
    });
    const { status, stderr } = await bench(['ours.safetensors', 'float.onnx', 'half.onnx']);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain('onnxruntime has had enough');
    expect(release).toHaveBeenCalledTimes(2);
  });

  it('releases them where a later file cannot be opened', async () => {
    const release = vi.spyOn(OnnxModel.prototype, 'release');
    writeFileSync(at('broken.onnx'), 'no model');
    const { status } = await bench(['float.onnx', 'broken.onnx']);
    expect(status).toBe(1);
    expect(release).toHaveBeenCalledTimes(1);
  });

  it('releases one of which there is something to say that cannot be said', async () => {
    const release = vi.spyOn(OnnxModel.prototype, 'release');
    let failed = false;
    const write = (text: string): void => {
      if (failed || !text.includes('whatever --precision is')) return;
      failed = true;
      throw new Error('nobody listens');
    };
    const argv = ['bench', at('float.onnx'), '--precision', 'int8', '--runs', '1'];
    const status = await run(argv, { stdout: { write: () => true }, stderr: { write }, env: {} });
    expect({ status, failed }).toEqual({ status: 1, failed: true });
    expect(release).toHaveBeenCalledTimes(1);
  });

  it('frees the models before one that cannot be opened, and one that does not fit on the device', async () => {
    const dispose = vi.spyOn(VisionMamba.prototype, 'dispose');
    expect((await bench(['ours.safetensors', 'broken.onnx'])).status).toBe(1);
    expect(dispose).toHaveBeenCalledTimes(1);
    vi.spyOn(VisionMamba.prototype, 'to').mockImplementation(() => {
      throw new Error('no room');
    });
    const { stderr } = await bench(['ours.safetensors']);
    expect(stderr).toContain('no room');
    expect(dispose).toHaveBeenCalledTimes(2);
  });

  it('refuses --webgpu where no model is one', async () => {
    const { status, stderr } = await bench(['ours.safetensors'], '--webgpu');
    expect(status).toBe(2);
    expect(stderr).toContain('got --webgpu, which is for ONNX files, and no model is one.');
  });

  const names = ['float.onnx', 'half.onnx', 'weights.onnx', 'integers.onnx'];
  const own = ['fp32', 'fp16', 'fp32', 'int8'];

  it.each(['auto', 'fp32', 'bf16', 'int8'] as const)(
    'says what each computes in when %s is asked for',
    async (asked) => {
      const { status, stdout, stderr } = await bench(names, '--precision', asked, '--json');
      expect(status, stderr).toBe(0);
      const told = JSON.parse(stdout) as Told;
      expect(told.precision).toBe('fp32');
      expect(told.models.map(({ precision }) => precision)).toEqual(own);
      // What stderr notes stands in the JSON as well.
      const notes = told.models.map((model) => model.notes.length);
      expect(notes).toEqual(
        { auto: [0, 0, 0, 0], fp32: [0, 1, 0, 1], bf16: [1, 1, 1, 1], int8: [1, 1, 1, 0] }[asked],
      );
      if (asked === 'auto') return;
      const advice = {
        fp32: 'For float32 export it without --dtype and --quantize.',
        bf16: 'No ONNX file that export writes computes in bf16; for 16 bits export it with --dtype float16.',
        int8: 'For 8-bit products export it with --quantize int8-dynamic.',
      }[asked];
      expect(told.models[1]?.notes[0]).toBe(
        `onnxruntime computes in what the file says, which is fp16, whatever --precision is. ${advice}`,
      );
    },
  );

  it('names in the title what is computed in, beside a model of another kind too', async () => {
    expect((await bench(['float.onnx'], '--precision', 'int8')).stdout).toContain('(cpu in fp32, ');
    const both = await bench(['ours.safetensors', 'integers.onnx']);
    expect(both.stdout).toContain('(cpu in fp32 and int8, ');
    const told = await bench(['integers.onnx', 'ours.safetensors'], '--json');
    expect(JSON.parse(told.stdout)).toMatchObject({
      precision: 'fp32',
      models: [{ precision: 'int8' }, { precision: 'fp32' }],
    });
  });
});

describe('predict of an ONNX file', () => {
  const grey = { width: 8, height: 8, channels: 3, background: '#888' } as const;

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each([
    ['that is told other classes', ['--classes', 'a,b']],
    ['whose images cannot be shown', []],
  ])('releases one %s', async (_, flags) => {
    const release = vi.spyOn(OnnxModel.prototype, 'release');
    vi.spyOn(OnnxModel.prototype, 'classify').mockRejectedValue(new Error('it has had enough'));
    writeFileSync(at('image.png'), await sharp({ create: grey }).png().toBuffer());
    const argv = ['predict', at('float.onnx'), at('image.png'), ...flags];
    const { status } = await runCli(argv);
    expect(status).toBe(flags.length > 0 ? 2 : 1);
    expect(release).toHaveBeenCalledTimes(1);
  });
});
