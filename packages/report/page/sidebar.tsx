// Beside the sections: where they are, which runs they show, language and colours.
import type { LiveState } from './app.js';
import { type Theme, usePage } from './context.js';
import { Segments, Select } from './controls.js';
import type { Language } from './i18n/index.js';

interface SidebarProps {
  readonly live: LiveState | undefined;
  readonly sections: readonly { readonly id: string; readonly title: string }[];
  readonly setLanguage: (language: Language) => void;
  readonly setTheme: (theme: Theme) => void;
  readonly setHidden: (hidden: ReadonlySet<string>) => void;
}

export function Sidebar({ live, sections, setLanguage, setTheme, setHidden }: SidebarProps) {
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
      <RunFilter setHidden={setHidden} />
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

function RunFilter({ setHidden }: Pick<SidebarProps, 'setHidden'>) {
  const { data, hidden, t, colourOf } = usePage();
  if (data.runs.length < 2) return null;
  const toggle = (id: string): void => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  return (
    <details class="filter" open={data.runs.length <= 12}>
      <summary>{t('runsShown')}</summary>
      <fieldset>
        <legend class="hidden">{t('runsShown')}</legend>
        {data.runs.map((run) => (
          <label key={run.id}>
            <input
              type="checkbox"
              checked={!hidden.has(run.id)}
              onChange={() => {
                toggle(run.id);
              }}
            />
            <i class="dot" style={{ '--colour': colourOf(run) }} />
            <span>{run.id}</span>
          </label>
        ))}
        {data.runs.length > 3 && (
          <div class="row">
            <button
              type="button"
              onClick={() => {
                setHidden(new Set());
              }}
            >
              {t('showAll')}
            </button>
            <button
              type="button"
              onClick={() => {
                setHidden(new Set(data.runs.map(({ id }) => id)));
              }}
            >
              {t('showNone')}
            </button>
          </div>
        )}
      </fieldset>
    </details>
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
