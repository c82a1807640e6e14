import type { Tensor } from '@mamba-prune/libtorch';

/**
 * Gives x through layers, one after the other. What a layer leaves is freed as soon as the next one has read it: until the
 * end of the scope around them, a stream for every layer would be in memory at the same time.
 *
 * @param x - stays the caller's
 * @param step - one layer
 * @param isSeen - whether somebody is shown the streams, and may keep one: they are freed with the scope then
 */
export function inTurn<L>(
  layers: readonly L[],
  x: Tensor,
  step: (stream: Tensor, layer: L, index: number) => Tensor,
  isSeen = false,
): Tensor {
  return layers.reduce((stream, layer, index) => {
    const next = step(stream, layer, index);
    if (!isSeen && stream !== x && stream !== next) stream.dispose();
    return next;
  }, x);
}
