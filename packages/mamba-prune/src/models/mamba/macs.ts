// Multiply-accumulates of a vision Mamba from its configuration alone: what `VisionMamba.macs` counts, added up.
import type { MambaConfig } from './config.js';
import { mambaShapes } from './shapes.js';

/** For one image. The scan counts three for each state and position, two for each channel (groups.ts). */
export function mambaMacs(config: MambaConfig): number {
  const length = (config.imageSize / config.patchSize) ** 2;
  let total = 0;
  for (const [name, shape] of mambaShapes(config)) {
    const numel = shape.reduce((product, size) => product * size, 1);
    if (name === 'head.weight') total += numel;
    else if (/\.A(_b)?_log$/.test(name)) total += 3 * length * numel;
    else if (/\.D(_b)?$/.test(name)) total += 2 * length * numel;
    else if (name.endsWith('.weight') && shape.length > 1) total += length * numel;
  }
  return total;
}
