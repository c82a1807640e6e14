// Weights of Vim that its authors have published; accuracies of https://github.com/hustvl/Vim, licence and sizes of the hub.
import { type PublishedWeights, imagenetPreparation, onImagenet } from '../published-weights.js';

const ofAll = {
  ...onImagenet,
  imageSize: 224,
  license: 'apache-2.0',
  source: 'https://github.com/hustvl/Vim',
  preparation: imagenetPreparation,
} as const;

export const vimPublished: readonly PublishedWeights[] = [
  {
    ...ofAll,
    name: 'vim_tiny',
    arch: 'vim_tiny',
    address: 'hf:hustvl/Vim-tiny-midclstok:vim_t_midclstok_76p1acc.pth',
    accuracy: 0.761,
    bytes: 115e6,
  },
  {
    ...ofAll,
    name: 'vim_tiny_stride8',
    arch: 'vim_tiny',
    options: { stride: 8 },
    address: 'hf:hustvl/Vim-tiny-midclstok:vim_t_midclstok_ft_78p3acc.pth',
    accuracy: 0.783,
    bytes: 117e6,
  },
  {
    ...ofAll,
    name: 'vim_small',
    arch: 'vim_small',
    address: 'hf:hustvl/Vim-small-midclstok:vim_s_midclstok_80p5acc.pth',
    accuracy: 0.805,
    bytes: 413e6,
  },
  {
    ...ofAll,
    name: 'vim_small_stride8',
    arch: 'vim_small',
    options: { stride: 8 },
    address: 'hf:hustvl/Vim-small-midclstok:vim_s_midclstok_ft_81p6acc.pth',
    accuracy: 0.816,
    bytes: 417e6,
  },
  {
    ...ofAll,
    name: 'vim_base',
    arch: 'vim_base',
    address: 'hf:hustvl/Vim-base-midclstok:vim_b_midclstok_81p9acc.pth',
    accuracy: 0.819,
  },
];
