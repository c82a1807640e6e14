// The sign of a run: a colour, and the shape of its method, which tells runs apart without colours.
import type { RunData } from '../src/data/types.js';

/** As Observable Plot calls them. */
export const methodSymbols: Readonly<Record<RunData['method'], string>> = {
  train: 'square',
  oneshot: 'triangle',
  refill: 'circle',
  rsst: 'diamond',
};

const known: Readonly<Record<string, string>> = { ...methodSymbols, dense: 'square' };

interface RunMarkProps {
  /** One of `RunData.method`, or `dense`; others have a circle. */
  readonly method: string;
  readonly colour: string;
}

export function RunMark({ method, colour }: RunMarkProps) {
  return <i class={`dot ${known[method] ?? 'circle'}`} style={{ '--colour': colour }} />;
}
