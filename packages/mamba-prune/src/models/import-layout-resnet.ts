// torchvision's ResNet (and timm's of the same names), and the CIFAR networks that follow its names.
import { FormatError } from '@mamba-prune/libtorch';
import type { Layout } from './import-layout.js';
import { ShapeReader } from './import-shapes.js';
import { denseResNetWidths, resnetArchitectures } from './resnet-config.js';

export const resnetLayout: Layout = {
  architectures: resnetArchitectures,

  recognises: (shapes) => shapes.has('layer1.0.conv1.weight'),

  read(shapes) {
    const reader = new ShapeReader('resnet', shapes);
    const block = reader.has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic';
    const blocks: number[] = [];
    for (let count; (count = reader.count(`layer${blocks.length + 1}`)) > 0;) blocks.push(count);
    const baseWidth = reader.size('conv1.weight', 0, 4);
    const stem = stemOf(reader);
    const sizes = {
      block,
      blocks,
      baseWidth,
      stem,
      channels: reader.size('conv1.weight', 1, 4),
      numClasses: reader.size('fc.weight', 0, 2),
    } as const;
    return {
      sizes,
      config(arch, options) {
        // Convolutions fit images of every size, so no shape tells it.
        const imageSize = options.imageSize ?? (stem === 'cifar' ? 32 : 224);
        const widths = Object.fromEntries(
          Object.keys(denseResNetWidths(sizes)).map((group) => [
            group,
            reader.size(`${group}.weight`, 0, 4),
          ]),
        );
        const dropPath = options.dropPath ?? 0;
        return {
          config: { family: 'resnet', arch, ...sizes, imageSize, dropPath, widths },
          assumed: options.imageSize === undefined ? [`imageSize ${imageSize}`] : [],
        };
      },
    };
  },
};

function stemOf(reader: ShapeReader): 'cifar' | 'imagenet' {
  const kernel = reader.size('conv1.weight', 2, 4);
  if (kernel === 3) return 'cifar';
  if (kernel === 7) return 'imagenet';
  throw new FormatError(
    `import: got a first convolution of ${kernel}x${kernel}, expected 3x3 (CIFAR) or 7x7 (ImageNet)`,
  );
}
