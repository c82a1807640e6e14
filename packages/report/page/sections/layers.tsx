// Widths of the groups before and after each round, and which units are left.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type { GroupData } from '../../src/page-data/pruning.js';
import type { RunData } from '../../src/page-data/run.js';
import { Chart } from '../charts/chart.js';
import { thinned } from '../charts/place-labels.js';
import { gridStyle, plotStyle, tipStyle } from '../charts/plot-style.js';
import { textWidth } from '../charts/text-width.js';
import { UnitsMap } from '../charts/units-map.js';
import { usePage } from '../context.js';
import { Legend, RunSelect, Section, Segments } from '../controls.js';
import { grouped, percent } from '../format.js';
import { cutKinds, groupsOf, kindName, shortNames } from '../words.js';

export function Layers() {
  const { t, data, focus } = usePage();
  const pruned = data.runs.filter(({ pruning }) => pruning !== undefined);
  const run = pruned.find(({ id }) => id === focus?.id) ?? pruned[0];
  const last = run?.pruning?.rounds.length ?? 0;
  const [chosen, setRound] = useState<string>();
  if (!run?.pruning) return null;
  const round = Math.min(Number(chosen ?? last), last);
  const rounds = [
    { value: '0', label: t('before') },
    ...run.pruning.rounds.map((entry) => ({
      value: String(entry.round),
      label: last === 1 ? t('after') : t('round', { round: entry.round }),
    })),
  ];
  return (
    <Section
      id="layers"
      title={t('layers')}
      help={t('layersHelp')}
      controls={
        <>
          <RunSelect value={run.id} runs={pruned.map(({ id }) => id)} />
          <Segments
            label={t('rounds')}
            choices={rounds}
            value={String(round)}
            onChange={setRound}
          />
        </>
      }
    >
      <div class="grid">
        {cutKinds(run).map((kind) => (
          <Widths key={kind} run={run} kind={kind} round={round} />
        ))}
      </div>
      <UnitsMap run={run} round={round} />
    </Section>
  );
}

interface Bar {
  readonly group: GroupData;
  readonly block: string;
  readonly width: number;
}

function Widths({ run, kind, round }: { run: RunData; kind: string; round: number }) {
  const page = usePage();
  const { t, colourOf } = page;
  const groups = groupsOf(run, kind);
  const names = shortNames(groups);
  const bars = groups.map((group, i): Bar => ({
    group,
    block: names[i] ?? group.name,
    width: widthAfter(run, group, round),
  }));
  const total = bars.reduce((sum, { width }) => sum + width, 0);
  const dense = groups.reduce((sum, group) => sum + group.dense, 0);
  const title = kindName(kind, page);
  const draw = (width: number): Element => {
    const room = (width - 70) / bars.length;
    const blocks = bars.map(({ block }) => block);
    const values = bars.map(({ width: kept }) => textWidth(grouped(kept), 12, 600));
    return Plot.plot({
      ...plotStyle(width, 236),
      marginBottom: 42,
      x: { type: 'band', domain: blocks, padding: 0.18, label: t('group') },
      y: { label: null, nice: true },
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0 }),
        Plot.axisX({
          label: t('group'),
          tickSize: 0,
          // Clear of the 0 beside the first bar.
          tickPadding: 8,
          ticks: [
            ...thinned(
              blocks,
              blocks.map((block) => textWidth(block)),
              room,
            ),
          ],
        }),
        Plot.barY(bars, {
          x: 'block',
          y: ({ group }: Bar) => group.dense,
          fill: 'var(--track)',
          rx: 3,
        }),
        Plot.barY(bars, { x: 'block', y: 'width', fill: colourOf(run), rx: 3 }),
        room < Math.max(0, ...values) + 4
          ? null
          : Plot.text(bars, {
              x: 'block',
              y: 'width',
              text: ({ width: kept }: Bar) => grouped(kept),
              dy: -8,
              fill: 'var(--ink)',
              fontWeight: 600,
            }),
        Plot.tip(
          bars,
          Plot.pointerX({
            x: 'block',
            y: 'width',
            title: ({ group, width: kept }: Bar) =>
              `${group.name}\n${t('ofUnits', { kept: grouped(kept), total: grouped(group.dense) })} (${percent(kept / group.dense, 1)})`,
            ...tipStyle,
          }),
        ),
      ],
    });
  };
  return (
    <Chart
      title={title}
      summary={t('ofUnits', { kept: grouped(total), total: grouped(dense) })}
      draw={draw}
      table={{
        columns: [
          t('group'),
          t('dense'),
          t('before'),
          ...(run.pruning?.rounds ?? []).map((entry) => t('round', { round: entry.round })),
        ],
        rows: groups.map((group) => [
          group.name,
          grouped(group.dense),
          grouped(group.before),
          ...(run.pruning?.rounds ?? []).map(({ widths }) => {
            const kept = widths[group.name];
            return kept === undefined ? '' : grouped(kept);
          }),
        ]),
      }}
    >
      <Legend
        entries={[
          {
            label: `${t('ofUnits', { kept: grouped(total), total: grouped(dense) })} (${percent(total / dense, 1)})`,
            colour: colourOf(run),
          },
          { label: t('dense'), colour: 'var(--track-strong)' },
        ]}
      />
    </Chart>
  );
}

function widthAfter({ pruning }: RunData, group: GroupData, round: number): number {
  if (round === 0) return group.before;
  return pruning?.rounds[round - 1]?.widths[group.name] ?? group.before;
}
