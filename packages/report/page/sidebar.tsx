// Beside the sections: where they are, which runs they show, language and colours.
import type { LiveState } from './app.js';
import { type Theme, useMatchingRuns, usePage } from './context.js';
import { Segments, Select } from './controls.js';
import { grouped } from './format.js';
import type { Language } from './i18n/index.js';
import { RunMark } from './run-mark.js';

interface SidebarProps {
  readonly live: LiveState | undefined;
  readonly sections: readonly { readonly id: string; readonly title: string }[];
  readonly setLanguage: (language: Language) => void;
  readonly setTheme: (theme: Theme) => void;
}

export function Sidebar({ live, sections, setLanguage, setTheme }: SidebarProps) {
  const { t, language, theme } = usePage();
  return (
    <header class="side">
      <div class="brand">
        <Logo />
        <h1>
          mamba-prune <small>{t(live ? 'studio' : 'title')}</small>
        </h1>
        {live && (
          <span class={`live ${live}`} role="status">
            {t(live)}
          </span>
        )}
      </div>
      <nav aria-label={t('sections')}>
        <ul>
          {sections.map(({ id, title }) => (
            <li key={id}>
              <a href={`#${id}`}>{title}</a>
            </li>
          ))}
        </ul>
      </nav>
      <RunFilter />
      <div class="settings">
        <Segments
          label={t('language')}
          value={language}
          choices={[
            { value: 'en', label: 'English' },
            { value: 'zh', label: '中文' },
          ]}
          onChange={setLanguage}
        />
        <Select
          label={t('theme')}
          value={theme}
          choices={[
            { value: 'auto', label: t('themeAuto') },
            { value: 'light', label: t('themeLight') },
            { value: 'dark', label: t('themeDark') },
          ]}
          onChange={setTheme}
        />
      </div>
    </header>
  );
}

/** The list would stand between the title and the first section, as in `layout.css`. */
const isNarrow = matchMedia('(max-width: 900px)').matches;

function RunFilter() {
  const { data, hidden, setHidden, query, setQuery, t, colourOf } = usePage();
  const runs = useMatchingRuns();
  if (data.runs.length < 2) return null;
  const toggle = (id: string): void => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  /** Those that the filter leaves; what it hides stays as it was. */
  const setAll = (isShown: boolean): void => {
    const next = new Set(hidden);
    for (const { id } of runs) {
      if (isShown) next.delete(id);
      else next.add(id);
    }
    setHidden(next);
  };
  return (
    <div class="filter">
      <label class="search">
        <span>{t('filterRuns')}</span>
        <input
          type="search"
          value={query}
          placeholder={t('filterHint')}
          onInput={(event) => {
            setQuery(event.currentTarget.value);
          }}
        />
      </label>
      <p class="help" role="status">
        {query.trim() === ''
          ? ''
          : t('filterCount', { shown: grouped(runs.length), total: grouped(data.runs.length) })}
      </p>
      <details open={data.runs.length <= 12 && !isNarrow}>
        <summary>{t('runsShown')}</summary>
        <fieldset>
          <legend class="hidden">{t('runsShown')}</legend>
          {runs.map((run) => (
            <label key={run.id} data-run={run.id} data-method={run.method}>
              <input
                type="checkbox"
                checked={!hidden.has(run.id)}
                onChange={() => {
                  toggle(run.id);
                }}
              />
              <RunMark method={run.method} colour={colourOf(run)} />
              <span>{run.id}</span>
            </label>
          ))}
        </fieldset>
        {data.runs.length > 3 && (
          <div class="row">
            <button
              type="button"
              onClick={() => {
                setAll(true);
              }}
            >
              {t('selectAll')}
            </button>
            <button
              type="button"
              onClick={() => {
                setAll(false);
              }}
            >
              {t('selectNone')}
            </button>
          </div>
        )}
      </details>
    </div>
  );
}

/** Five bars, three of them cut. */
function Logo() {
  const bars = [18, 9, 13, 6, 18];
  return (
    <svg class="logo" viewBox="0 0 34 24" aria-hidden="true">
      {bars.map((height, i) => (
        <g key={i}>
          <rect x={2 + 6.4 * i} y={3} width={4.4} height={18} rx={2.2} class="track" />
          <rect x={2 + 6.4 * i} y={21 - height} width={4.4} height={height} rx={2.2} class="bar" />
        </g>
      ))}
    </svg>
  );
}
