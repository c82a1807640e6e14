// Attentions whose scores are scaled by another number than ours: 1 / sqrt(width of a head).
import { noGrad } from '@mamba-prune/libtorch';
import type { ImageModel } from '../image-model.js';
import { type VitConfig, headDimIn } from './config.js';

/** Roundings of a number that was computed as a power, or in float32. */
const tolerance = 1e-6;

/**
 * Makes the queries as many times as large as the scores are to be: softmax((f q) k / sqrt(d)) is softmax(s q k) for
 * f = s sqrt(d). What made heads narrower may have left the scale of the wider ones in place.
 *
 * @param scales - of every block; undefined for one that does as ours
 * @returns blocks whose queries were changed
 */
export function scaleScores(model: ImageModel, scales: readonly (number | undefined)[]): number[] {
  const config = model.config as VitConfig;
  const state = model.stateDict();
  return scales.flatMap((scale, block) => {
    const factor = scale === undefined ? 1 : scale * Math.sqrt(headDimIn(config, block));
    if (Math.abs(factor - 1) < tolerance) return [];
    for (const part of ['weight', 'bias']) {
      const tensor = state.get(`blocks.${block}.attn.qkv.${part}`);
      noGrad(() => tensor?.narrow(0, 0, tensor.size(0) / 3).mul_(factor));
    }
    return [block];
  });
}
