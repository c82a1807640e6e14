// Shapes of the tensors of a residual network.
import type { ModelShapes } from '../family.js';
import { type NamedShape, batchNorm, linear, widthIn } from '../shapes.js';
import { type ResNetConfig, blockName, expansions, innerConvs, stageWidth } from './config.js';

export function resnetShapes(config: ResNetConfig): ModelShapes {
  const { block, blocks, baseWidth, stem, channels, numClasses } = config;
  const kernels = block === 'basic' ? [3, 3] : [1, 3, 1];
  const kernel = stem === 'cifar' ? 3 : 7;
  let from = baseWidth;
  const layers = blocks.flatMap((count, stage) => {
    const to = stageWidth(baseWidth, stage) * expansions[block];
    return Array.from({ length: count }, (_, index): NamedShape[] => {
      const name = blockName(stage, index);
      const inner = innerConvs[block].map((conv) => widthIn(config, `${name}.${conv}`));
      const channelsAfter = [...inner, to];
      const own = channelsAfter.flatMap((after, i): NamedShape[] => [
        [
          `${name}.conv${i + 1}.weight`,
          [after, channelsAfter[i - 1] ?? from, kernels[i] ?? 0, kernels[i] ?? 0],
        ],
        ...batchNorm(`${name}.bn${i + 1}`, after),
      ]);
      const changes = (stage > 0 && index === 0) || from !== to;
      const shortcut: NamedShape[] = changes
        ? [
            [`${name}.downsample.0.weight`, [to, from, 1, 1]],
            ...batchNorm(`${name}.downsample.1`, to),
          ]
        : [];
      from = to;
      return [...own, ...shortcut];
    }).flat();
  });
  return new Map([
    ['conv1.weight', [baseWidth, channels, kernel, kernel]],
    ...batchNorm('bn1', baseWidth),
    ...layers,
    ...linear('fc', numClasses, from),
  ]);
}
