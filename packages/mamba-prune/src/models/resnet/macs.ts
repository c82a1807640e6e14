// Multiply-accumulates of a residual network from its configuration alone: what `ResNet.macs` counts, added up.
import type { ResNetConfig } from './config.js';
import { resnetShapes } from './shapes.js';

/** For one image. */
export function resnetMacs(config: ResNetConfig): number {
  const { imageSize, stem, block } = config;
  const stemSide = stem === 'cifar' ? imageSize : halved(imageSize, 1);
  const firstSide = firstSideOf(config);
  const sideOf = (name: string): number => {
    if (name === 'fc.weight') return 1;
    if (name === 'conv1.weight') return stemSide;
    const [, stage, index, layer] = /^layer(\d+)\.(\d+)\.([^.]+)/.exec(name) ?? [];
    // The first block of a stage halves the side in its first convolution of kernel 3: a bottleneck has one before.
    const isBefore = index === '0' && layer === 'conv1' && block !== 'basic' && stage !== '1';
    return halved(firstSide, Number(stage) - (isBefore ? 2 : 1));
  };
  let total = 0;
  for (const [name, shape] of resnetShapes(config)) {
    if (!name.endsWith('.weight') || shape.length < 2) continue;
    total += sideOf(name) ** 2 * shape.reduce((product, size) => product * size, 1);
  }
  return total;
}

/** Side of what the last stage gives, in pixels. */
export const lastSide = (config: ResNetConfig): number =>
  halved(firstSideOf(config), config.blocks.length - 1);

const firstSideOf = ({ imageSize, stem }: ResNetConfig): number =>
  stem === 'cifar' ? imageSize : halved(imageSize, 2);

/** After so many convolutions of stride 2 with padding kernel >> 1, or poolings: half the side, rounded up, each time. */
function halved(side: number, times: number): number {
  let result = side;
  for (let i = 0; i < times; i++) result = Math.ceil(result / 2);
  return result;
}
