// A ResNet's parameters as torchvision, timm, kuangliu, akamaster, weiaicunzai and Hugging Face name them, and what none
// of ours has.
import type { Shapes } from '../import/layout.js';
import type { Refusal, Rename } from '../import/state-dict.js';

/** Whose names a state dict has. timm's are torchvision's, and akamaster's kuangliu's. */
export type ResNetNames =
  'torchvision' | 'kuangliu' | 'weiaicunzai' | 'Hugging Face' | 'a Sequential of the layers';

const telling: Readonly<Record<ResNetNames, RegExp>> = {
  'Hugging Face': /^(?:resnet\.)?encoder\.stages\.0\.layers\.0\.layer\.0\.convolution\.weight$/,
  weiaicunzai: /^conv2_x\.0\.residual_function\.0\.weight$/,
  kuangliu: /^linear\.(?:\d+\.)?weight$|^layer\d+\.\d+\.shortcut\./,
  torchvision: /^layer1\.0\.conv1\.(?:conv\.)?weight$/,
  // ReLU and pooling, which have no parameters, are 2 and 3.
  'a Sequential of the layers': /^4\.0\.conv1\.weight$/,
};

/** Undefined if the tensors are those of no ResNet. */
export function resnetNamesOf(shapes: Shapes): ResNetNames | undefined {
  const all = [...shapes.keys()];
  const has = (names: ResNetNames) => all.some((name) => telling[names].test(name));
  if (has('Hugging Face')) return 'Hugging Face';
  if (has('weiaicunzai')) return 'weiaicunzai';
  if (
    has('a Sequential of the layers') &&
    ['0.weight', '1.running_mean'].every((n) => shapes.has(n))
  ) {
    return 'a Sequential of the layers';
  }
  if (!has('torchvision')) return undefined;
  return has('kuangliu') ? 'kuangliu' : 'torchvision';
}

// A classifier behind a dropout in a Sequential has a number.
const torchvision: readonly Rename[] = [[/^fc\.\d+\.(weight|bias)$/, 'fc.$1']];

const kuangliu: readonly Rename[] = [
  [/^linear\.(?:\d+\.)?/, 'fc.'],
  [/^(layer\d+\.\d+)\.shortcut\./, '$1.downsample.'],
];

/** Of pytorch-cifar100: stages count from 2 there, and a branch is a Sequential with ReLUs between. */
const weiaicunzai: readonly Rename[] = [
  ...torchvision,
  [/^conv1\.0\./, 'conv1.'],
  [/^conv1\.1\./, 'bn1.'],
  ...[1, 2, 3, 4].flatMap((stage): Rename[] => {
    const block = String.raw`^conv${stage + 1}_x\.(\d+)\.`;
    const to = `layer${stage}.$1`;
    return [
      [new RegExp(String.raw`${block}shortcut\.`), `${to}.downsample.`],
      ...[0, 1, 2].flatMap((i): Rename[] => [
        [new RegExp(String.raw`${block}residual_function\.${3 * i}\.`), `${to}.conv${i + 1}.`],
        [new RegExp(String.raw`${block}residual_function\.${3 * i + 1}\.`), `${to}.bn${i + 1}.`],
      ]),
    ];
  }),
];

/** Stages and convolutions count from 0 there, and from 1 here. */
const huggingFace: readonly Rename[] = [
  [/^(?:resnet\.)?embedder\.embedder\.convolution\./, 'conv1.'],
  [/^(?:resnet\.)?embedder\.embedder\.normalization\./, 'bn1.'],
  [/^classifier\.\d+\./, 'fc.'],
  ...Array.from({ length: 12 }, (_, stage): Rename[] => {
    const block = String.raw`^(?:resnet\.)?encoder\.stages\.${stage}\.layers\.(\d+)\.`;
    const to = `layer${stage + 1}.$1`;
    return [
      [new RegExp(String.raw`${block}shortcut\.convolution\.`), `${to}.downsample.0.`],
      [new RegExp(String.raw`${block}shortcut\.normalization\.`), `${to}.downsample.1.`],
      ...[0, 1, 2].flatMap((i): Rename[] => [
        [new RegExp(String.raw`${block}layer\.${i}\.convolution\.`), `${to}.conv${i + 1}.`],
        [new RegExp(String.raw`${block}layer\.${i}\.normalization\.`), `${to}.bn${i + 1}.`],
      ]),
    ];
  }).flat(),
];

/** `nn.Sequential(*resnet.children())`, of torchvision's or timm's, with or without what is behind the pooling, 8. */
const sequential: readonly Rename[] = [
  [/^0\.weight$/, 'conv1.weight'],
  [/^1\./, 'bn1.'],
  ...[1, 2, 3, 4].map((stage): Rename => [new RegExp(`^${stage + 3}\\.`), `layer${stage}.`]),
  [/^(?:9|1\d)\.(?:\d+\.)?(weight|bias)$/, 'fc.$1'],
];

/** To torchvision's names. */
export const resnetRenames: Readonly<Record<ResNetNames, readonly Rename[]>> = {
  torchvision,
  kuangliu,
  weiaicunzai,
  'Hugging Face': huggingFace,
  'a Sequential of the layers': sequential,
};

/** How the names of the classifier begin that these rules know. */
export const resnetClassifiers: Readonly<Record<ResNetNames, RegExp>> = {
  torchvision: /^(?:fc|linear)\./,
  kuangliu: /^(?:fc|linear)\./,
  weiaicunzai: /^(?:fc|linear)\./,
  'Hugging Face': /^classifier\./,
  'a Sequential of the layers': /^(?:9|1\d)\./,
};

/** What is not here and is no tensor of ours is refused as unexpected. */
export const resnetRefusals: readonly Refusal[] = [
  [
    /\.(?:se|se_module)\.(fc[12]|conv|conv_reduce|conv_expand|fc\.\d+)\./,
    'a block that weights its channels (SE, ECA)',
  ],
  [
    /^layer\d+\.\d+\.(attn|att|cbam|ca|sa|conv2\.(fc|attn|conv\w*|bn\d|fc\d))\b/,
    'a block with attention over channels (SK, CBAM, split attention)',
  ],
  [/^conv1\.\d+\./, 'a stem of several convolutions (ResNet-C and -D: resnet50d, deep stem)'],
  [
    /^maxpool\.\d+\.(?:weight|running_mean)$/,
    'a convolution in place of its max pooling (replace_stem_pool)',
  ],
  [/\.downsample\.2\.weight$/, 'a shortcut with average pooling (ResNet-D)'],
  [
    /\.downsample\.\d+\.filt$|\.(conv\d|aa\d?|act\d|maxpool)(\.\d+)?\.filt$|^maxpool\.\d+\.filt$/,
    'anti-aliased convolutions (BlurPool)',
  ],
  [
    /\.(conv_ws|weight_g|weight_v|parametrizations)\b/,
    'weights that are normalised anew (weight standardisation)',
  ],
  [
    /^(stem|stages)\.|^layer\d+\.\d+\.norm\d\./,
    'a residual network of another kind (pre-activation, BiT)',
  ],
  [
    /^layer\d+\.\d+\.conv[4-9]\.|^layer\d+\.\d+\.convs\./,
    'blocks of more than three convolutions (Res2Net)',
  ],
];
