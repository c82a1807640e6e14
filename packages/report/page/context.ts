// What every part of the page knows: the data, the language, and what the reader has chosen.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { ReportData, RunData } from '../src/data/types.js';
import type { Language, Translate } from './i18n/index.js';
import type { Models } from './try-out/models.js';

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
}

export const PageContext = createContext<PageState | undefined>(undefined);

export function usePage(): PageState {
  const state = useContext(PageContext);
  if (!state) throw new Error('usePage: got no page around it');
  return state;
}

/** Runs that the reader has not hidden. */
export function useShownRuns(): RunData[] {
  const { data, hidden } = usePage();
  return data.runs.filter(({ id }) => !hidden.has(id));
}
