// For tests: one small model as every kind of file that commands take.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { writeTorchArchive } from '../../../../libtorch/src/torch-save/testing/write-archive.js';
import { buildOnnxModel } from '../../export/build-model.js';
import { encodeModel } from '../../onnx/proto.js';
import type { FakeRepo } from '../../hub/testing/hub-server.js';
import type { ImageModel } from '../../models/image-model.js';
import { type ModelInfo, saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';

export const smallSizes = { dModel: 8, depth: 1, dState: 2, imageSize: 8, numClasses: 2 } as const;

/** What a state dict of the model does not tell, but its architecture. */
export const smallFlags = [
  '--arch',
  'mamba_nano',
  '--d-model',
  '8',
  '--depth',
  '1',
  '--d-state',
  '2',
  '--scan',
  'uni',
];

export const smallInfo: ModelInfo = {
  classes: ['left', 'right'],
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  history: [],
};

/** As timm describes a model beside its weights; the pixels as the model's own file says. */
const timmConfig = {
  architecture: 'vim_tiny',
  num_classes: 2,
  label_names: ['left', 'right'],
  pretrained_cfg: {
    mean: smallInfo.mean,
    std: smallInfo.std,
    interpolation: 'bilinear',
    crop_pct: 0.9,
  },
};

/** What torch.save writes of a model's state dict. */
export function writeStateDict(path: string, model: ImageModel, under?: string): void {
  const tensors = Array.from(model.stateDict(), ([name, tensor]) => ({ name, tensor }));
  writeTorchArchive(
    path,
    tensors.map(({ name, tensor: { shape } }, i) => ({
      name,
      shape,
      storage: String(i),
      strides: shape.map((_, dim) => shape.slice(dim + 1).reduce((a, b) => a * b, 1)),
    })),
    Object.fromEntries(tensors.map(({ tensor }, i) => [String(i), tensor.toNumbers()])),
    under,
  );
}

/** Writes them into a folder. @returns repositories of a hub with the same weights */
export function writeModelFiles(folder: string): Record<string, FakeRepo> {
  const at = (...path: string[]): string => join(folder, ...path);
  manualSeed(5);
  const model = createModel('mamba_nano', smallSizes);
  for (const name of ['run', 'snapshot', 'card']) mkdirSync(at(name));
  saveModel(at('ours.safetensors'), model, smallInfo);
  saveModel(at('run', 'model.safetensors'), model, smallInfo);
  saveSafetensors(at('bare.safetensors'), model.stateDict(), {});
  for (const name of [
    'net.pth',
    'net',
    'net.safetensors',
    'net.onnx',
    'snapshot/pytorch_model.bin',
  ]) {
    writeStateDict(at(name), model);
  }
  writeStateDict(at('nested.ckpt'), model, 'teacher');
  const config = JSON.stringify(timmConfig);
  writeFileSync(at('snapshot', 'config.json'), config);
  saveSafetensors(at('card', 'weights.safetensors'), model.stateDict(), {});
  writeFileSync(at('card', 'config.json'), config);
  const onnx = encodeModel(buildOnnxModel(model, smallInfo));
  writeFileSync(at('ours.onnx'), onnx);
  writeFileSync(at('ours.bin'), onnx);
  model.dispose();
  const refs = { main: 'a'.repeat(40) };
  const torch = readFileSync(at('net.pth'));
  return {
    'lab/torch': { refs, files: { 'pytorch_model.bin': torch } },
    'lab/timm': {
      refs,
      files: {
        'config.json': Buffer.from(config),
        'model.safetensors': readFileSync(at('bare.safetensors')),
        'pytorch_model.bin': torch,
      },
    },
  };
}
