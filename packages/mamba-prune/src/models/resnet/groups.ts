// What can be pruned in a residual network, and what it costs. The groups: channels between two convolutions of a block.
import type { nn } from '@mamba-prune/libtorch';
import type { PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import type { Block } from './model.js';

/** The group of the channels that convolution `layer` of a block makes. */
export const groupName = (block: string, layer: number): string => `${block}.conv${layer + 1}`;

/**
 * The channels between two convolutions. With weight and bias of BatchNorm at zero a channel is zero
 * whatever its statistics say: they divide by sqrt(variance + eps), never by zero.
 *
 * Scored are the filters on both sides, as the two layers of an MLP are (with the first alone it would
 * be Li et al. 2017, arXiv 1608.08710). Regularised is the side that reads: BatchNorm takes the size
 * of the filter that makes a channel away again, so shrinking that one would change nothing.
 */
export function blockGroups({ name, layers }: Block): PruningGroup[] {
  return layers.slice(0, -1).map(({ conv }, i): PruningGroup => ({
    name: groupName(name, i),
    kind: 'channels',
    size: conv.outChannels,
    members: [
      { parameter: `${name}.conv${i + 1}.weight`, dim: 0, scored: true },
      ...['weight', 'bias', 'running_mean', 'running_var'].map((part) => ({
        parameter: `${name}.bn${i + 1}.${part}`,
        dim: 0,
      })),
      {
        parameter: `${name}.conv${i + 2}.weight`,
        dim: 1,
        scored: true,
        regularized: true,
        consumer: true,
      },
    ],
  }));
}

/** A network's parts that are counted. */
export interface CountedParts {
  readonly conv1: nn.Conv2d;
  /** Whether a max pooling follows it. */
  readonly pools: boolean;
  readonly blocks: readonly Block[];
  readonly fc: nn.Linear;
}

/**
 * Convolutions and the classifier; BatchNorm, pooling and additions are not counted.
 * @param imageSize - side of the square images
 */
export function networkMacs(
  imageSize: number,
  { conv1, pools, blocks, fc }: CountedParts,
): MacsEntry[] {
  let side = sideAfter(imageSize, conv1);
  const entries: MacsEntry[] = [{ name: 'conv1', macs: side * side * conv1.weight.numel }];
  if (pools) side = sideOf(side, { kernel: 3, stride: 2 });
  for (const block of blocks) {
    const counted = blockMacs(block, side);
    entries.push(...counted.entries);
    side = counted.side;
  }
  return [...entries, { name: 'fc', macs: fc.weight.numel }];
}

/**
 * One entry per group, with the convolutions on both its sides; the one between two groups counts
 * for the first, as its parameters do.
 * @param side - of the square input
 */
function blockMacs(
  { name, layers, shortcut }: Block,
  side: number,
): { readonly entries: MacsEntry[]; readonly side: number } {
  const entries: MacsEntry[] = [];
  let at = side;
  const counts = layers.map(({ conv }) => {
    at = sideAfter(at, conv);
    return at * at * conv.weight.numel;
  });
  for (let i = 0; i < counts.length - 1; i++) {
    const own = i === 0 ? (counts[0] as number) : 0;
    entries.push({ name: groupName(name, i), macs: own + (counts[i + 1] as number) });
  }
  if (shortcut) {
    entries.push({ name: `${name}.downsample`, macs: at * at * shortcut.conv.weight.numel });
  }
  return { entries, side: at };
}

const sideAfter = (side: number, { kernelSize, stride }: nn.Conv2d): number =>
  sideOf(side, { kernel: kernelSize[0] as number, stride: stride as number });

/** Side of what a convolution or pooling with padding kernel >> 1 gives for a side of `side`. */
const sideOf = (
  side: number,
  { kernel, stride }: { readonly kernel: number; readonly stride: number },
): number => Math.floor((side + 2 * (kernel >> 1) - kernel) / stride) + 1;
