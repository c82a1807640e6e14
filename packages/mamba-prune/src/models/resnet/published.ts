// Weights of residual networks that timm publishes, with a config.json that says how images are prepared. They were
// trained on images of 224 px; timm measures them with larger ones.
import { type PublishedWeights, onImagenet } from '../published-weights.js';

const ofAll = {
  ...onImagenet,
  imageSize: 288,
  license: 'apache-2.0',
  source: 'https://github.com/huggingface/pytorch-image-models',
} as const;

export const resnetPublished: readonly PublishedWeights[] = [
  {
    ...ofAll,
    name: 'resnet18',
    arch: 'resnet18',
    address: 'hf:timm/resnet18.a1_in1k:model.safetensors',
    accuracy: 0.73158,
    bytes: 46.8e6,
  },
  {
    ...ofAll,
    name: 'resnet50',
    arch: 'resnet50',
    address: 'hf:timm/resnet50.a1_in1k:model.safetensors',
    accuracy: 0.81214,
    bytes: 102e6,
  },
];
