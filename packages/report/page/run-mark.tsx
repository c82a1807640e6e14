// The sign of a run: a colour, and the shape of its method, which tells runs apart without colours.
import type { RunData } from '../src/page-data/run.js';

type SymbolName = 'square' | 'triangle' | 'circle' | 'diamond' | 'cross';

/** As Observable Plot calls them. */
export const methodSymbols: Readonly<Record<RunData['method'], SymbolName>> = {
  train: 'square',
  oneshot: 'triangle',
  refill: 'circle',
  rsst: 'diamond',
};

const known: Readonly<Record<string, SymbolName>> = {
  ...methodSymbols,
  dense: 'square',
  scratch: 'cross',
};

/** @param method - one of `RunData.method`, `dense` or `scratch`; others have a circle */
export const methodSymbol = (method: string): SymbolName => known[method] ?? 'circle';

interface RunMarkProps {
  /** One of `RunData.method`, `dense` or `scratch`; others have a circle. */
  readonly method: string;
  readonly colour: string;
}

export function RunMark({ method, colour }: RunMarkProps) {
  return <i class={`dot ${methodSymbol(method)}`} style={{ '--colour': colour }} />;
}
