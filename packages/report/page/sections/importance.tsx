// Histograms of the scores that a cut went by, with the border between kept and removed.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type { ScoresData } from '../../src/page-data/pruning.js';
import type { RunData } from '../../src/page-data/run.js';
import { Chart } from '../charts/chart.js';
import { type Bin, binTable, stackedBars } from '../charts/histogram.js';
import { flags } from '../charts/label-marks.js';
import { flagRoom, gridStyle, heightFor, plotStyle } from '../charts/plot-style.js';
import { usePage } from '../context.js';
import { Legend, RunSelect, Section, Segments, Select } from '../controls.js';
import { digits, grouped } from '../format.js';
import type { TextKey } from '../i18n/index.js';
import {
  type ScoredUnit,
  type UnitFate,
  isNormalized,
  scoredUnits,
  thresholdOf,
} from '../scores.js';
import { kindName } from '../words.js';

const all = '*';

const hasScores = ({ pruning }: RunData): boolean =>
  pruning?.rounds.some(({ scores }) => scores !== undefined) ?? false;

export const importanceRuns = (runs: readonly RunData[]): RunData[] => runs.filter(hasScores);

export function Importance() {
  const { t, data, focus } = usePage();
  const runs = importanceRuns(data.runs);
  const run = runs.find(({ id }) => id === focus?.id) ?? runs[0];
  const [chosen, setRound] = useState<string>();
  const rounds = run?.pruning?.rounds.filter(({ scores }) => scores) ?? [];
  const round = rounds.find((entry) => String(entry.round) === chosen) ?? rounds[0];
  if (!run || !round?.scores) return null;
  const { scores } = round;
  const explained: TextKey =
    scores.ranking !== 'global'
      ? 'importanceByLayer'
      : isNormalized(scores)
        ? 'importanceGlobal'
        : 'importanceGlobalRaw';
  return (
    <Section
      id="importance"
      title={t('importance')}
      help={[t('importanceHelp', { measure: scores.measure }), t(explained)].join(
        t('betweenSentences'),
      )}
      controls={
        <>
          <RunSelect value={run.id} runs={runs.map(({ id }) => id)} />
          {rounds.length > 1 && (
            <Segments
              label={`${t('rounds')} `}
              choices={rounds.map((entry) => ({
                value: String(entry.round),
                label: t('round', { round: entry.round }),
              }))}
              value={String(round.round)}
              onChange={setRound}
            />
          )}
        </>
      }
    >
      <div class="grid">
        {[...new Set(scores.groups.map(({ kind }) => kind))].map((kind) => (
          <Histogram key={kind} scores={scores} kind={kind} />
        ))}
      </div>
    </Section>
  );
}

const fates: readonly {
  readonly fate: UnitFate;
  readonly name: TextKey;
  readonly colour: string;
}[] = [
  { fate: 'k', name: 'kept', colour: 'var(--kept)' },
  { fate: 'r', name: 'returned', colour: 'var(--returned)' },
  { fate: 'x', name: 'removedUnits', colour: 'var(--removed)' },
];

/** @param count - of bins, which share the range of the scores evenly */
function binned(units: readonly ScoredUnit[], count: number): Bin[] {
  const values = units.map(({ value }) => value);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const size = (high - low) / count || 1;
  return fates.toReversed().flatMap(({ fate, colour }) => {
    const counts = new Array<number>(count).fill(0);
    for (const unit of units) {
      if (unit.fate !== fate) continue;
      const bin = Math.min(count - 1, Math.floor((unit.value - low) / size));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    return counts.map((sum, i) => ({
      x1: low + i * size,
      x2: low + (i + 1) * size,
      units: sum,
      colour,
    }));
  });
}

function Histogram({ scores, kind }: { readonly scores: ScoresData; readonly kind: string }) {
  const page = usePage();
  const { t } = page;
  const [chosen, choose] = useState(all);
  const groups = scores.groups.filter((group) => group.kind === kind);
  const shown = groups.filter(({ name }) => chosen === all || name === chosen);
  const units = scoredUnits(scores, shown.length > 0 ? shown : groups);
  const threshold = thresholdOf(units);
  const title = kindName(kind, page);
  const label = t(isNormalized(scores) ? 'scoreOverMean' : 'score');
  const present = fates.filter(({ fate }) => units.some((unit) => unit.fate === fate));
  const count = (fate: UnitFate): number => units.filter((unit) => unit.fate === fate).length;
  const why = scores.ranking === 'global' ? 'noThresholdOther' : 'noThresholdByLayer';
  const border =
    threshold === undefined
      ? t('noThreshold', { reason: t(chosen === all ? why : 'noThresholdOther') })
      : t('threshold', { value: digits(threshold) });
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, heightFor(width), threshold === undefined ? 0 : flagRoom),
      x: { label: `${label} →`, nice: true },
      y: { label: null },
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0 }),
        stackedBars(binned(units, Math.max(20, Math.min(60, Math.floor(width / 9))))),
        threshold === undefined
          ? null
          : [
              Plot.ruleX([threshold], {
                stroke: 'var(--ink)',
                strokeWidth: 1.5,
                strokeDasharray: '4,3',
              }),
              flags([{ x: threshold, text: border }], 'var(--ink)'),
            ],
        Plot.ruleY([0], { stroke: 'var(--line)' }),
      ],
    });
  return (
    <Chart
      title={title}
      summary={t('titled', {
        title: present
          .map(({ fate, name }) => t('labelled', { name: t(name), value: count(fate) }))
          .join(t('separator')),
        text: border,
      })}
      draw={draw}
      table={binTable(
        binned(units, 20),
        present.map(({ name, colour }) => ({ label: t(name), colour })),
        label,
      )}
    >
      <div class="row">
        <Legend
          entries={present.map(({ fate, name, colour }) => ({
            label: `${t(name)} ${grouped(count(fate))}`,
            colour,
          }))}
        />
        <Select
          label={t('group')}
          value={chosen}
          choices={[
            { value: all, label: t('allGroups') },
            ...groups.map(({ name }) => ({ value: name, label: name })),
          ]}
          onChange={choose}
        />
      </div>
      {threshold === undefined && <p class="help">{border}</p>}
    </Chart>
  );
}
