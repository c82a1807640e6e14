// Residual network as a graph; model.ts is what it computes. BatchNorm is part of the
// convolutions: their weights and biases are not those of the state dict.
import { type ResNetConfig, blockName } from './config.js';
import type { Value } from '../../onnx/graph-builder.js';
import type { Layers } from '../../onnx/layers.js';
import { add, cast, maxPool, reduceMean, unary } from '../../onnx/operators.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function resnetGraph(config: ResNetConfig, layers: Layers, image: Value): Value {
  const { g } = layers;
  const stem = unary(g, 'Relu', layers.conv2d('conv1', image, 'bn1'));
  let x = config.stem === 'imagenet' ? maxPool(g, stem, 3, 2) : stem;
  config.blocks.forEach((count, stage) => {
    for (let index = 0; index < count; index++) {
      x = block(layers.at(blockName(stage, index)), x, config.block === 'basic' ? 2 : 3);
    }
  });
  return layers.exact.linear('fc', reduceMean(g, cast(g, x, 'float32'), [2, 3]));
}

function block(layers: Layers, x: Value, convs: number): Value {
  const { g } = layers;
  let y = x;
  for (let i = 1; i <= convs; i++) {
    y = layers.conv2d(`conv${i}`, y, `bn${i}`);
    if (i < convs) y = unary(g, 'Relu', y);
  }
  const changesShape = layers.has('downsample.0.weight');
  const shortcut = changesShape ? layers.conv2d('downsample.0', x, 'downsample.1') : x;
  return unary(g, 'Relu', add(g, y, shortcut));
}
