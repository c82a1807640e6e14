// Accuracy against what a model costs, with the Pareto front of each data set.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type { ReportData } from '../../src/page-data/report.js';
import type { RunData } from '../../src/page-data/run.js';
import { Chart } from '../charts/chart.js';
import { markOf } from '../charts/highlight.js';
import { nameLabels } from '../charts/label-marks.js';
import { gridStyle, plotStyle, tipStyle } from '../charts/plot-style.js';
import { usePage, useShownRuns } from '../context.js';
import { Section, Segments } from '../controls.js';
import { bytes, count, milliseconds, percent, tickFormat } from '../format.js';
import type { Translate } from '../i18n/index.js';
import { latencyOf, timedBatches } from '../latency.js';
import { paretoFronts } from '../pareto.js';
import { RunLegend } from '../run-legend.js';
import { methodSymbols } from '../run-mark.js';
import { dataName, hasSeveralData } from '../../src/data/data-name.js';
import { methodText, removedText } from '../words.js';

/** Of a round point, in pixels; other shapes have the same area, and reach as far as `reach`. */
const radius = 5.5;
const reach = 9;

interface Model {
  readonly run: RunData;
  readonly cost: number;
  readonly accuracy: number;
  /** Name of the data set. */
  readonly data: string;
}

/** Something on the x axis; the latencies are `latency-1`, `latency-64` ... */
interface Cost {
  readonly value: string;
  readonly label: string;
  readonly of: (run: RunData) => number | null | undefined;
  readonly text: (cost: number) => string;
}

export function Tradeoff() {
  const { data, t } = usePage();
  const costs = costsOf(data, t);
  const [chosen, choose] = useState('macs');
  const cost = costs.find(({ value }) => value === chosen) ?? costs[0];
  if (!cost) return null;
  return (
    <Section
      id="tradeoff"
      title={t('tradeoff')}
      help={t(hasSeveralData(data.runs) ? 'tradeoffHelpOfEach' : 'tradeoffHelp')}
      controls={
        <Segments label={t('costAxis')} choices={costs} value={cost.value} onChange={choose} />
      }
    >
      <Picture cost={cost} />
    </Section>
  );
}

function costsOf(data: ReportData, t: Translate): Cost[] {
  const all: Cost[] = [
    { value: 'macs', label: t('macs'), of: ({ size }) => size?.macs, text: count },
    {
      value: 'parameters',
      label: t('parameters'),
      of: ({ size }) => size?.parameters,
      text: count,
    },
    ...timedBatches(data).map((batch) => ({
      value: `latency-${batch}`,
      label: t('latencyAt', { batch }),
      of: ({ id }: RunData) => latencyOf(data, id, batch)?.medianMs,
      text: milliseconds,
    })),
    { value: 'bytes', label: t('fileSize'), of: ({ size }) => size?.bytes, text: bytes },
  ];
  return all.filter(({ of }) => data.runs.some((run) => of(run) != null));
}

function Picture({ cost }: { readonly cost: Cost }) {
  const { data, t, colourOf, focus } = usePage();
  const hasData = hasSeveralData(data.runs);
  const models = useShownRuns().flatMap((run): Model[] => {
    const value = cost.of(run);
    return value == null || run.accuracy === null
      ? []
      : [{ run, cost: value, accuracy: run.accuracy, data: dataName(run) }];
  });
  const front = paretoFronts(models).flat();
  const isOnFront = new Set(front);
  // The first have the better places: the run in focus, those on the front, and of the others the more accurate.
  const rank = (model: Model): number =>
    model.run.id === focus?.id ? 2 : isOnFront.has(model) ? 1 : 0;
  const labelled = [...models]
    .sort((a, b) => rank(b) - rank(a) || b.accuracy - a.accuracy)
    .map(({ run, cost: x, accuracy: y }) => ({ name: run.id, x, y, key: markOf(run) }));
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, Math.round(Math.min(420, Math.max(280, width * 0.5)))),
      marginRight: 24,
      x: {
        label: `${cost.label} →`,
        nice: true,
        ticks: Math.max(3, width / 110),
        inset: 24,
      },
      y: { label: null, nice: true, inset: 14 },
      marks: [
        Plot.gridX(gridStyle),
        Plot.gridY(gridStyle),
        Plot.axisX({
          label: `${cost.label} →`,
          tickSize: 0,
          tickFormat: tickFormat(cost.text),
          ticks: Math.max(3, width / 110),
        }),
        Plot.axisY({
          label: null,
          ticks: 8,
          tickSize: 0,
          tickFormat: (y: number) => `${Number((100 * y).toFixed(2))}%`,
        }),
        Plot.line(front, {
          x: 'cost',
          y: 'accuracy',
          z: 'data',
          curve: 'step-after',
          stroke: 'var(--accent)',
          strokeOpacity: 0.55,
          strokeWidth: 2,
        }),
        Plot.dot(models, {
          x: 'cost',
          y: 'accuracy',
          r: radius,
          symbol: ({ run }: Model) => methodSymbols[run.method],
          ariaLabel: ({ run }: Model) => markOf(run),
          fill: ({ run }: Model) => colourOf(run),
          stroke: ({ run }: Model) => (run.id === focus?.id ? 'var(--ink)' : 'var(--card)'),
          strokeWidth: 1.5,
        }),
        nameLabels(labelled, reach),
        Plot.tip(
          models,
          Plot.pointer({
            x: 'cost',
            y: 'accuracy',
            title: (model: Model) => modelText(model),
            ...tipStyle,
          }),
        ),
      ],
    });
  return (
    <Chart
      wide
      title={`${t('accuracy')} / ${cost.label}`}
      summary={t('labelled', {
        name: t('onFront'),
        value: front.map(({ run }) => run.id).join(t('comma')),
      })}
      draw={draw}
      table={{
        columns: [
          t('run'),
          ...(hasData ? [t('dataset')] : []),
          t('method'),
          t('removed'),
          cost.label,
          t('accuracy'),
          t('onFront'),
        ],
        rows: models.map((model) => [
          model.run.id,
          ...(hasData ? [model.data] : []),
          methodText(model.run, t),
          removedText(model.run),
          cost.text(model.cost),
          percent(model.accuracy),
          isOnFront.has(model) ? '✓' : '',
        ]),
      }}
    >
      <RunLegend has={(run) => cost.of(run) != null && run.accuracy !== null} />
    </Chart>
  );

  function modelText(model: Model): string {
    const { run, accuracy } = model;
    return [
      run.id,
      ...(hasData ? [t('labelled', { name: t('dataset'), value: model.data })] : []),
      `${methodText(run, t)} ${removedText(run)}`.trim(),
      t('labelled', { name: t('accuracy'), value: percent(accuracy) }),
      t('labelled', { name: cost.label, value: cost.text(model.cost) }),
      ...(isOnFront.has(model) ? [t('onFront')] : []),
    ].join('\n');
  }
}
