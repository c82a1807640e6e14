// Multiply-accumulates of a vision Mamba from its configuration alone: what `VisionMamba.macs` counts, added up.
import { tensorMacs } from '../layers/ssm-shapes.js';
import type { MambaConfig } from './config.js';
import { mambaShapes } from './shapes.js';

/** For one image. */
export function mambaMacs(config: MambaConfig): number {
  const length = (config.imageSize / config.patchSize) ** 2;
  let total = 0;
  for (const [name, shape] of mambaShapes(config)) {
    total += tensorMacs(name, shape, name === 'head.weight' ? 1 : length);
  }
  return total;
}
