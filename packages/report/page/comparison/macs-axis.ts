// The axis of MACs in the picture of a comparison, in pixels from the left edge of the plot.

export interface MacsAxis {
  readonly type: 'linear' | 'log';
  /** The ends of the axis, in MACs. */
  readonly domain: readonly [number, number];
  readonly toPixels: (macs: number) => number;
  readonly toMacs: (pixels: number) => number;
}

/** From 0 on. @param room - right of the largest size, in pixels */
export function linearAxis(largest: number, width: number, room: number): MacsAxis {
  const extent = (largest * width) / (width - room);
  return {
    type: 'linear',
    domain: [0, extent],
    toPixels: (macs) => (macs / extent) * width,
    toMacs: (pixels) => (pixels / width) * extent,
  };
}

/** The same ratio has the same length everywhere. @param room - on both sides, in pixels */
export function logAxis(smallest: number, largest: number, width: number, room: number): MacsAxis {
  const scale = (width - 2 * room) / Math.log(largest / smallest);
  const toMacs = (pixels: number): number => smallest * Math.exp((pixels - room) / scale);
  return {
    type: 'log',
    domain: [toMacs(0), toMacs(width)],
    toPixels: (macs) => room + scale * Math.log(macs / smallest),
    toMacs,
  };
}

/** 1, 2, 5, 10, 20, 50 and so on: what people count by, between the ends of a logarithmic axis. */
export function logTicks([low, high]: MacsAxis['domain']): number[] {
  const powers = Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1;
  return Array.from({ length: powers }, (_, i) => 10 ** (Math.floor(Math.log10(low)) + i))
    .flatMap((power) => [power, 2 * power, 5 * power])
    .filter((value) => value >= low && value <= high);
}
