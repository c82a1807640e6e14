// Weights of vision transformers that timm publishes, with a config.json that says how images are prepared.
import { type PublishedWeights, onImagenet } from '../published-weights.js';

const ofAll = {
  ...onImagenet,
  imageSize: 224,
  license: 'apache-2.0',
  source: 'https://github.com/huggingface/pytorch-image-models',
} as const;

export const vitPublished: readonly PublishedWeights[] = [
  {
    ...ofAll,
    name: 'vit_tiny',
    arch: 'vit_tiny',
    address: 'hf:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k:model.safetensors',
    accuracy: 0.75454,
    bytes: 22.9e6,
  },
  {
    ...ofAll,
    name: 'vit_small',
    arch: 'vit_small',
    address: 'hf:timm/vit_small_patch16_224.augreg_in21k_ft_in1k:model.safetensors',
    accuracy: 0.81384,
    bytes: 88.2e6,
  },
];
