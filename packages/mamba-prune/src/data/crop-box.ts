import type { Random } from './random.js';

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * The box of a random resized crop, as torchvision's RandomResizedCrop draws it (Szegedy et al.
 * 2015): a share of the area and an aspect ratio (log-uniform), ten tries, then the largest central
 * box of an allowed ratio. The result is written into `box`.
 * @param scale - smallest and largest share of the area
 * @param ratio - smallest and largest width / height
 */
export function drawCropBox(
  random: Random,
  width: number,
  height: number,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  box: Box,
): Box {
  const logLow = Math.log(ratio[0]);
  const logHigh = Math.log(ratio[1]);
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * random.between(scale[0], scale[1]);
    const aspect = Math.exp(random.between(logLow, logHigh));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      box.left = random.below(width - w + 1);
      box.top = random.below(height - h + 1);
      box.width = w;
      box.height = h;
      return box;
    }
  }
  const aspect = Math.min(ratio[1], Math.max(ratio[0], width / height));
  box.width = Math.max(1, Math.min(width, Math.round(height * aspect)));
  box.height = Math.max(1, Math.min(height, Math.round(width / aspect)));
  box.left = Math.floor((width - box.width) / 2);
  box.top = Math.floor((height - box.height) / 2);
  return box;
}

/**
 * The rectangle of random erasing (Zhong et al. 2020, arXiv 1708.04896) in the ranges of timm: 2% to a third of the area,
 * ratios from 0.3 to 1 / 0.3, ten tries. The result is written into `box`.
 * @returns whether one was found
 */
export function drawErasedBox(
  random: Random,
  { width, height }: { readonly width: number; readonly height: number },
  box: Box,
): boolean {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * random.between(0.02, 1 / 3);
    const aspect = Math.exp(random.between(Math.log(0.3), Math.log(1 / 0.3)));
    const w = Math.round(Math.sqrt(area / aspect));
    const h = Math.round(Math.sqrt(area * aspect));
    if (w > 0 && w < width && h > 0 && h < height) {
      box.left = random.below(width - w + 1);
      box.top = random.below(height - h + 1);
      box.width = w;
      box.height = h;
      return true;
    }
  }
  return false;
}
