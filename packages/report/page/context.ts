// What every part of the page knows: the data, the language, and what the reader has chosen.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { dataName } from '../src/data/data-name.js';
import type { ReportData } from '../src/page-data/report.js';
import type { RunData } from '../src/page-data/run.js';
import type { Language, Translate } from './i18n/index.js';
import type { Models } from './try-out/models.js';
import { rateText } from './words.js';

export type Theme = 'auto' | 'light' | 'dark';

export interface PageState {
  readonly data: ReportData;
  /** Undefined where the models cannot be had. */
  readonly models: Models | undefined;
  readonly language: Language;
  readonly t: Translate;
  readonly theme: Theme;
  /** Ids of runs that curves and points leave out. */
  readonly hidden: ReadonlySet<string>;
  /** Whose layers are shown. */
  readonly focus: RunData | undefined;
  readonly colourOf: (run: RunData) => string;
  readonly setFocus: (id: string) => void;
  readonly setHidden: (hidden: ReadonlySet<string>) => void;
  /** Words that the runs to be shown have in their names, methods or data. */
  readonly query: string;
  readonly setQuery: (query: string) => void;
}

export const PageContext = createContext<PageState | undefined>(undefined);

export function usePage(): PageState {
  const state = useContext(PageContext);
  if (!state) throw new Error('usePage: got no page around it');
  return state;
}

/** Runs that the reader has not filtered out. */
export function useMatchingRuns(): readonly RunData[] {
  const { data, query, t } = usePage();
  return matching(data.runs, query, t);
}

/** Those, without the ones that were hidden one by one. */
export function useShownRuns(): RunData[] {
  const { hidden } = usePage();
  return useMatchingRuns().filter(({ id }) => !hidden.has(id));
}

/** Runs that have every word of `query` somewhere, whatever its case. */
export function matching(
  runs: readonly RunData[],
  query: string,
  t: Translate,
): readonly RunData[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return runs;
  return runs.filter((run) => {
    const { id, method, arch, seed, state } = run;
    const texts = [id, t(method), method, arch, dataName(run), rateText(run), t(state)];
    const text = [...texts, `seed ${seed}`].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
