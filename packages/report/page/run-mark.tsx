// The sign of a run: a colour, and the shape of its method, which tells runs apart without colours.
import type { RunData } from '../src/data/types.js';

/** As Observable Plot calls them. */
export const methodSymbols: Readonly<Record<RunData['method'], string>> = {
  train: 'square',
  oneshot: 'triangle',
  refill: 'circle',
  rsst: 'diamond',
};

const shapes: Readonly<Record<string, string>> = {
  square: 'M1.5 1.5h9v9h-9z',
  triangle: 'M6 .8 11.6 10.8H.4z',
  circle: 'M6 1a5 5 0 1 1 0 10A5 5 0 1 1 6 1z',
  diamond: 'M6 .2 11 6 6 11.8 1 6z',
};

interface RunMarkProps {
  /** One of `RunData.method`, or `dense`; others have a circle. */
  readonly method: string;
  readonly colour: string;
}

export function RunMark({ method, colour }: RunMarkProps) {
  const known: Readonly<Record<string, string>> = { ...methodSymbols, dense: 'square' };
  return (
    <svg class="run-mark" viewBox="0 0 12 12" aria-hidden="true" style={{ fill: colour }}>
      <path d={shapes[known[method] ?? 'circle']} />
    </svg>
  );
}
