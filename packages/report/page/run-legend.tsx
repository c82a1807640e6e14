// Legends of runs whose entries hide and show what they stand for.
import type { RunData } from '../src/page-data/run.js';
import { methodColour } from './colours.js';
import { useMatchingRuns, usePage } from './context.js';
import { RunMark } from './run-mark.js';

/** So many runs have an entry each; of more there is one for each method. */
const mostRuns = 12;

interface RunLegendProps {
  /** Those that the picture can show, hidden ones too. */
  readonly has: (run: RunData) => boolean;
}

export function RunLegend({ has }: RunLegendProps) {
  const { t, hidden, setHidden, colourOf } = usePage();
  const runs = useMatchingRuns().filter(has);
  const toggle = (ids: readonly string[], isShown: boolean): void => {
    const next = new Set(hidden);
    for (const id of ids) {
      if (isShown) next.add(id);
      else next.delete(id);
    }
    setHidden(next);
  };
  const methods = [...new Set(runs.map(({ method }) => method))];
  const isByMethod = runs.length > mostRuns;
  const entries = isByMethod
    ? methods.map((method) => {
        const ids = runs.filter((run) => run.method === method).map(({ id }) => id);
        const colour = methodColour(method);
        const label = `${t(method)} (${ids.length})`;
        return { key: method, ids, label, colour, method, run: undefined };
      })
    : runs.map((run) => ({
        key: run.id,
        ids: [run.id],
        label: run.id,
        colour: colourOf(run),
        method: run.method,
        run: run.id,
      }));
  return (
    <ul class="legend toggles" aria-label={t('legend')}>
      {entries.map(({ key, ids, label, colour, method, run }) => {
        const isShown = ids.some((id) => !hidden.has(id));
        return (
          <li key={key}>
            <button
              type="button"
              aria-pressed={isShown}
              data-run={run}
              data-method={method}
              onClick={() => {
                toggle(ids, isShown);
              }}
            >
              <RunMark method={method} colour={colour} />
              {label}
            </button>
          </li>
        );
      })}
    </ul>
  );
}
