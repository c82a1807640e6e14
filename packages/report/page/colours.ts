// Which colour a run has. The values are CSS variables, so that a change of theme needs no redrawing.
import type { RunData } from '../src/page-data/run.js';

const palette = Array.from({ length: 7 }, (_, i) => `var(--series-${i + 1})`);

const methodColours: Readonly<Record<string, string>> = {
  dense: 'var(--dense)',
  train: 'var(--dense)',
  scratch: 'var(--scratch)',
  oneshot: 'var(--oneshot)',
  refill: 'var(--refill)',
  rsst: 'var(--rsst)',
};

export const methodColour = (method: string): string => methodColours[method] ?? 'var(--series-1)';

/** What the variables of `style/theme.css` are in a light page, for pictures that stand in none. */
export const lightColours = {
  '--card': '#ffffff',
  '--ink': '#17212b',
  '--soft': '#55626f',
  '--grid': '#e9edf1',
  '--track': '#e8ecf0',
  '--dense': '#3e4c59',
  '--scratch': '#00735a',
  '--oneshot': '#8a4fb0',
  '--refill': '#0072b2',
  '--rsst': '#c75300',
  '--series-1': '#0072b2',
} as const;

/**
 * Few runs have a colour each, a dense one alone is grey; many are told apart by method, as the eye
 * tells no more than about seven colours apart.
 */
export function runColours(runs: readonly RunData[]): (run: RunData) => string {
  const pruned = runs.filter(({ method }) => method !== 'train');
  const coloured = runs.length - pruned.length > 1 ? runs : pruned;
  if (coloured.length > palette.length) return ({ method }) => methodColour(method);
  const colours = new Map(coloured.map(({ id }, i) => [id, palette[i] ?? '']));
  return ({ id, method }) => colours.get(id) ?? methodColour(method);
}
