// Multiply-accumulates of a VMamba from its configuration alone: what `VMamba.macs` counts, added up.
import { type VMambaConfig, gridSides, stemStrides } from './config.js';
import { vmambaShapes } from './shapes.js';

/** For one image. The scan counts three for each state and position, one for each channel's skip (groups.ts). */
export function vmambaMacs(config: VMambaConfig): number {
  const sides = gridSides(config);
  const first = Math.ceil(config.imageSize / stemStrides(config.stemStride)[0]);
  const sideOf = (name: string): number => {
    if (name.startsWith('classifier.')) return 1;
    if (name.startsWith('patch_embed.0.')) return first;
    const [, stage, part] = /^layers\.(\d+)\.(\w+)/.exec(name) ?? [];
    // What halves the grid behind a stage works on the grid of the next.
    return sides[Number(stage ?? 0) + (part === 'downsample' ? 1 : 0)] as number;
  };
  let total = 0;
  for (const [name, shape] of vmambaShapes(config)) {
    const positions = sideOf(name) ** 2;
    const numel = shape.reduce((product, size) => product * size, 1);
    if (name.endsWith('.A_logs')) total += 3 * positions * numel;
    else if (name.endsWith('.Ds')) total += positions * numel;
    else if (/[._]weight$/.test(name) && shape.length > 1) total += positions * numel;
  }
  return total;
}
