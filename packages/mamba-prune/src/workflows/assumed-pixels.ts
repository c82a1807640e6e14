// A mean and a deviation of pixels that were assumed, held against those of the data set.
import type { DatasetInfo } from '../data/types.js';
import type { ModelInfo } from '../models/model-file.js';
import type { DataHooks } from './fit.js';
import { assumedIn } from './same-info.js';

/**
 * Says what the data set has, where the model's were assumed and are others: a model of another program that was trained
 * on CIFAR-10 is seldom trained with ImageNet's, and loses a point or two with them. A file of ours describes itself and
 * takes no other ones: its weights are imported anew.
 */
export function noteAssumedPixels(
  info: Pick<ModelInfo, 'history' | 'mean' | 'std'>,
  { name, mean, std }: Pick<DatasetInfo, 'name' | 'mean' | 'std'>,
  { onNote }: DataHooks = {},
): void {
  const assumed = assumedIn(info);
  const others = (['mean', 'std'] as const).filter(
    (entry) =>
      assumed.some((text) => text.startsWith(`${entry} `)) &&
      String(info[entry]) !== String(entry === 'mean' ? mean : std),
  );
  if (others.length === 0) return;
  const own = others.map((entry) => `\`${entry}\` ${(entry === 'mean' ? mean : std).join(',')}`);
  onNote?.(
    `How the model's pixels are normalised was assumed, and is not as usual for ${name}: give ${own.join(' ')} where its weights are imported if it was trained so.`,
  );
}
