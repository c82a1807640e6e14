// All runs as a table, in the order of any column.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { ReportData } from '../../src/page-data/report.js';
import type { RunData } from '../../src/page-data/run.js';
import { useMatchingRuns, usePage } from '../context.js';
import { bytes, count, milliseconds, percent } from '../format.js';
import type { TextKey, Translate } from '../i18n/index.js';
import { latencyOf } from '../latency.js';
import { RunMark } from '../run-mark.js';
import { dataName, hasSeveralData } from '../../src/data/data-name.js';
import { methodText, removedText } from '../words.js';

interface Column {
  readonly key: TextKey;
  /** What the order goes by; undefined and null come last either way. */
  readonly value: (run: RunData) => string | number | null | undefined;
  readonly text: (run: RunData) => ComponentChildren;
  /** Of cells and title; `words` stand on the left. */
  readonly look?: 'words' | 'removed';
  /** Numbers begin with the largest, except those of which less is better. */
  readonly largestFirst?: boolean;
}

interface Order {
  readonly key: TextKey;
  readonly direction: 'ascending' | 'descending';
}

/** Share of the units that is gone, or is to go while the run is not at its end, over all kinds. */
function removedOf({ pruning, removed = {} }: RunData): number | undefined {
  const rates = Object.values(pruning?.reached ?? pruning?.rates ?? removed);
  return rates.length === 0 ? undefined : rates.reduce((a, b) => a + b, 0) / rates.length;
}

/** In several lines, one for each kind, where the table is too wide otherwise. */
function Removed({ text }: { readonly text: string }) {
  return text.split(/(?<=, )/).map((part) => (
    <span key={part} class="whole">
      {part}
    </span>
  ));
}

function columnsOf(data: ReportData, t: Translate): Column[] {
  const latency = ({ id }: RunData) => latencyOf(data, id)?.medianMs;
  const optional = (value: number | undefined, text: (value: number) => string): string =>
    value === undefined ? '–' : text(value);
  return [
    ...(hasSeveralData(data.runs)
      ? [{ key: 'dataset' as const, look: 'words' as const, value: dataName, text: dataName }]
      : []),
    {
      key: 'method',
      look: 'words',
      value: (run) => methodText(run, t),
      text: (run) => methodText(run, t),
    },
    {
      key: 'removed',
      look: 'removed',
      value: removedOf,
      text: (run) => <Removed text={removedText(run)} />,
    },
    {
      key: 'accuracy',
      largestFirst: true,
      value: ({ accuracy }) => accuracy,
      text: ({ accuracy }) => percent(accuracy),
    },
    {
      key: 'parameters',
      value: ({ size }) => size?.parameters,
      text: ({ size }) => optional(size?.parameters, count),
    },
    {
      key: 'macs',
      value: ({ size }) => size?.macs,
      text: ({ size }) => optional(size?.macs, count),
    },
    {
      key: 'fileSize',
      value: ({ size }) => size?.bytes,
      text: ({ size }) => bytes(size?.bytes),
    },
    ...(data.latency
      ? [
          {
            key: 'latency' as const,
            value: latency,
            text: (run: RunData) => optional(latency(run), milliseconds),
          },
        ]
      : []),
    {
      key: 'state',
      look: 'words',
      value: ({ state }) => t(state),
      text: ({ state }) => <span class={`state ${state}`}>{t(state)}</span>,
    },
  ];
}

/** Stable: runs of the same value stay in the order that they had. */
export function sorted<T>(
  items: readonly T[],
  value: (item: T) => string | number | null | undefined,
  direction: Order['direction'],
): T[] {
  const sign = direction === 'ascending' ? 1 : -1;
  return [...items].sort((first, second) => {
    const [a, b] = [value(first) ?? undefined, value(second) ?? undefined];
    if (a === undefined || b === undefined)
      return Number(a === undefined) - Number(b === undefined);
    if (typeof a === 'number' && typeof b === 'number') return sign * (a - b);
    return sign * String(a).localeCompare(String(b), 'en', { numeric: true });
  });
}

export function RunTable() {
  const { data, t, focus, setFocus, colourOf } = usePage();
  const [order, setOrder] = useState<Order>();
  const matching = useMatchingRuns();
  const name: Column = { key: 'run', value: ({ id }) => id, text: ({ id }) => id };
  const columns = columnsOf(data, t);
  const chosen = order && [name, ...columns].find(({ key }) => key === order.key);
  const runs = chosen ? sorted(matching, chosen.value, order.direction) : matching;
  return (
    <div class="scroll card tall" tabIndex={0} role="region" aria-label={t('allRuns')}>
      <table class="runs">
        <thead>
          <tr>{[name, ...columns].map(head)}</tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr
              key={run.id}
              class={run.id === focus?.id ? 'focus' : ''}
              data-run={run.id}
              data-method={run.method}
            >
              <th scope="row">
                <button
                  type="button"
                  class="run"
                  aria-pressed={run.id === focus?.id}
                  onClick={() => {
                    setFocus(run.id);
                  }}
                >
                  <RunMark method={run.method} colour={colourOf(run)} />
                  {run.id}
                </button>
              </th>
              {columns.map(({ key, look, text }) => (
                <td key={key} class={look}>
                  {text(run)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {runs.length === 0 && <p class="help">{t('noMatch')}</p>}
    </div>
  );

  function head({ key, look, largestFirst = false }: Column) {
    const direction = order?.key === key ? order.direction : undefined;
    const [first, second] = largestFirst
      ? (['descending', 'ascending'] as const)
      : (['ascending', 'descending'] as const);
    return (
      <th key={key} class={look} scope="col" aria-sort={direction ?? 'none'}>
        <button
          type="button"
          class="sort"
          onClick={() => {
            setOrder({ key, direction: direction === first ? second : first });
          }}
        >
          {t(key)}
          <span aria-hidden="true" class="arrow">
            {direction === undefined ? '↕' : direction === 'ascending' ? '↑' : '↓'}
          </span>
        </button>
      </th>
    );
  }
}
