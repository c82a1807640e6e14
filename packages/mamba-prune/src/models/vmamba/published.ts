// Weights of VMamba that its authors have published; addresses and accuracies of https://github.com/MzeroMiko/VMamba, whose
// licence is that of the whole repository.
import { type PublishedWeights, imagenetPreparation, onImagenet } from '../published-weights.js';

const release = 'https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls';

const ofAll = {
  ...onImagenet,
  imageSize: 224,
  license: 'mit',
  source: 'https://github.com/MzeroMiko/VMamba',
  preparation: imagenetPreparation,
} as const;

export const vmambaPublished: readonly PublishedWeights[] = [
  {
    ...ofAll,
    name: 'vmamba_tiny',
    arch: 'vmamba_tiny',
    address: `${release}/vssm1_tiny_0230s_ckpt_epoch_264.pth`,
    accuracy: 0.826,
  },
  {
    ...ofAll,
    name: 'vmamba_small',
    arch: 'vmamba_small',
    address: `${release}/vssm_small_0229_ckpt_epoch_222.pth`,
    accuracy: 0.836,
  },
  {
    ...ofAll,
    name: 'vmamba_base',
    arch: 'vmamba_base',
    address: `${release}/vssm_base_0229_ckpt_epoch_237.pth`,
    accuracy: 0.839,
  },
];
