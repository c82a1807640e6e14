// The page: what stands around the sections, and what the reader has chosen.
import type { FunctionComponent } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ReportData } from '../src/page-data/report.js';
import type { RunData } from '../src/page-data/run.js';
import { useHighlight } from './charts/highlight.js';
import { runColours } from './colours.js';
import { PageContext, type PageState, type Theme, usePage } from './context.js';
import { type Language, type TextKey, preferredLanguage, translator } from './i18n/index.js';
import { grouped } from './format.js';
import { Prose } from './prose.js';
import { Curves } from './sections/curves.js';
import { Images } from './sections/images.js';
import { Importance, importanceRuns } from './sections/importance.js';
import { Layers } from './sections/layers.js';
import { Methods } from './sections/methods.js';
import { Overview } from './sections/overview.js';
import { Regularizer, regularizedRuns } from './sections/regularizer.js';
import { Repeat } from './sections/repeat.js';
import { Sensitivity } from './sections/sensitivity.js';
import { Tradeoff } from './sections/tradeoff.js';
import { TryOut, triableRuns } from './sections/try-out.js';
import { sensitivitiesOf } from './sensitivities.js';
import { Sidebar } from './sidebar.js';
import { useStored } from './stored.js';
import type { Models } from './try-out/models.js';

/** Of the studio's connection; a report in a file has none. */
export type LiveState = 'live' | 'lost';

interface SectionEntry {
  readonly id: string;
  readonly title: TextKey;
  readonly Body: FunctionComponent;
  readonly hasContent: (data: ReportData, models: Models | undefined) => boolean;
}

const sections: readonly SectionEntry[] = [
  { id: 'overview', title: 'overview', Body: Overview, hasContent: ({ runs }) => runs.length > 0 },
  {
    id: 'methods',
    title: 'methods',
    Body: Methods,
    hasContent: ({ comparisons }) => comparisons.length > 0,
  },
  {
    id: 'curves',
    title: 'curves',
    Body: Curves,
    hasContent: ({ runs }) => runs.some(({ epochs, steps }) => epochs.length + steps.length > 0),
  },
  {
    id: 'tradeoff',
    title: 'tradeoff',
    Body: Tradeoff,
    hasContent: ({ runs }) =>
      runs.filter(({ size, accuracy }) => size && accuracy !== null).length > 1,
  },
  {
    id: 'layers',
    title: 'layers',
    Body: Layers,
    hasContent: ({ runs }) => runs.some(({ pruning }) => pruning),
  },
  {
    id: 'importance',
    title: 'importance',
    Body: Importance,
    hasContent: ({ runs }) => importanceRuns(runs).length > 0,
  },
  {
    id: 'sensitivity',
    title: 'sensitivity',
    Body: Sensitivity,
    hasContent: (data) => sensitivitiesOf(data).length > 0,
  },
  {
    id: 'regularizer',
    title: 'regularizer',
    Body: Regularizer,
    hasContent: ({ runs }) => regularizedRuns(runs).length > 0,
  },
  {
    id: 'images',
    title: 'images',
    Body: Images,
    hasContent: ({ evaluation, runs }, models) =>
      evaluation !== undefined ||
      (models?.evaluate !== undefined &&
        runs.some(({ state, file }) => state === 'finished' && file === undefined)),
  },
  {
    id: 'try-out',
    title: 'tryOut',
    Body: TryOut,
    hasContent: ({ runs }, models) => triableRuns(runs, models).length > 0,
  },
  { id: 'repeat', title: 'repeat', Body: Repeat, hasContent: ({ runs }) => runs.length > 0 },
];

interface AppProps {
  readonly data: ReportData;
  readonly live?: LiveState | undefined;
  /** Undefined where the models cannot be had. */
  readonly models?: Models | undefined;
}

export function App({ data, live, models }: AppProps) {
  const [language, setLanguage] = useStored<Language>('language', preferredLanguage());
  const [theme, setTheme] = useStored<Theme>('theme', 'auto');
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [query, setQuery] = useState('');
  const [focusId, setFocus] = useState<string>();
  useHighlight();
  const t = useMemo(() => translator(language), [language]);
  useEffect(() => {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
    document.documentElement.dataset['theme'] = theme;
  }, [language, theme]);
  const only = [...data.runs, ...data.comparisons].map(({ id }) => id);
  useEffect(() => {
    // Among many tabs.
    const what = only.length === 1 ? only[0] : t('runsCount', { runs: grouped(data.runs.length) });
    document.title = `${what ?? ''} · ${t(live ? 'studio' : 'title')} · mamba-prune`;
  }, [t, live, only.join()]);
  const focus = data.runs.find(({ id }) => id === focusId) ?? mostTelling(data.runs);
  const colourOf = useMemo(() => runColours(data.runs), [data.runs]);
  const state: PageState = {
    data,
    models,
    language,
    t,
    theme,
    focus,
    colourOf,
    setFocus,
    hidden,
    setHidden,
    query,
    setQuery,
  };
  const shown = sections.filter(({ hasContent }) => hasContent(data, models));
  return (
    <PageContext.Provider value={state}>
      <a class="skip" href="#content">
        {t('skip')}
      </a>
      <Sidebar
        live={live}
        sections={shown.map(({ id, title }) => ({ id, title: t(title) }))}
        setLanguage={setLanguage}
        setTheme={setTheme}
      />
      <main id="content" tabIndex={-1}>
        {live === 'lost' && (
          <p class="note" role="status">
            {t('lostHelp')}
          </p>
        )}
        {data.notes.map((note) => (
          <p key={note} class="note">
            <Prose text={note} />
          </p>
        ))}
        {shown.length === 0 && <Empty />}
        {shown.map(({ id, Body }) => (
          <Body key={id} />
        ))}
        <footer>
          {t('created', {
            date: `${data.created.slice(0, 16).replace('T', ' ')} UTC`,
            version: data.version,
          })}
        </footer>
      </main>
    </PageContext.Provider>
  );
}

function Empty() {
  const { t } = usePage();
  return (
    <section>
      <h2>{t('noRuns')}</h2>
      <p class="help">{t('noRunsHelp')}</p>
      <pre>
        <code>
          npx mamba-prune train --arch mamba_nano --dataset fashion-mnist --out runs/dense
        </code>
      </pre>
      <p class="help">{t('noRunsModels')}</p>
      <pre>
        <code>npm install @mamba-prune/models</code>
      </pre>
    </section>
  );
}

/** What is shown first: the last pruning with a result, or whatever there is. */
function mostTelling(runs: readonly RunData[]): RunData | undefined {
  const pruned = runs.filter(({ pruning }) => pruning && pruning.rounds.length > 0);
  const best = pruned.filter(({ state }) => state === 'finished');
  return best.at(-1) ?? pruned.at(-1) ?? runs.at(-1);
}
