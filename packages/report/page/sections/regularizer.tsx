// RSST: the strength over time, and how the norms of the doomed part from those that stay.
import * as Plot from '@observablehq/plot';
import type { EpochPoint, KindNorms, NormSpread } from '../../src/page-data/epochs.js';
import type { RunData } from '../../src/page-data/run.js';
import { Chart } from '../charts/chart.js';
import { type Bin, binTable, stackedBars } from '../charts/histogram.js';
import { gridStyle, heightFor, plotStyle, tipStyle } from '../charts/plot-style.js';
import { usePage } from '../context.js';
import { Legend, RunSelect, Section } from '../controls.js';
import { digits, grouped, percent, scientific } from '../format.js';
import type { TextKey } from '../i18n/index.js';
import { kindName } from '../words.js';

type NormPoint = EpochPoint & Required<Pick<EpochPoint, 'unitNorms' | 'rsst'>>;

const hasNorms = (point: EpochPoint): point is NormPoint =>
  point.unitNorms !== undefined && point.rsst !== undefined;

export const regularizedRuns = (runs: readonly RunData[]): RunData[] =>
  runs.filter(({ epochs }) => epochs.some(hasNorms));

/** The first epochs get a tick each, and values begin at 0. */
const axesOver = (points: readonly { readonly x: number }[], label: string): Plot.PlotOptions => ({
  x: { label, ticks: points.map(({ x }) => x).slice(0, 12), tickFormat: String },
  y: { nice: true, zero: true },
});

export function Regularizer() {
  const { t, data, focus } = usePage();
  const runs = regularizedRuns(data.runs);
  const run = runs.find(({ id }) => id === focus?.id) ?? runs[0];
  if (!run) return null;
  const points = run.epochs.filter(hasNorms);
  const kinds = Object.keys(points[0]?.unitNorms.kinds ?? {});
  return (
    <Section
      id="regularizer"
      title={t('regularizer')}
      help={t('regularizerHelp')}
      controls={<RunSelect value={run.id} runs={runs.map(({ id }) => id)} />}
    >
      <div class="grid">
        <Line points={points} name="lambda" of={({ rsst }) => rsst.lambda} />
        <Line points={points} name="penalty" of={({ rsst }) => rsst.value} />
        {kinds.map((kind) => (
          <Fan key={kind} points={points} kind={kind} />
        ))}
        {kinds.map((kind) => (
          <Distribution key={kind} points={points} kind={kind} />
        ))}
      </div>
    </Section>
  );
}

interface LineProps {
  readonly points: readonly NormPoint[];
  readonly name: TextKey;
  readonly of: (point: NormPoint) => number;
}

function Line({ points, name, of }: LineProps) {
  const { t } = usePage();
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, heightFor(width)),
      ...axesOver(points, t('epoch')),
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0, tickFormat: (y: number) => scientific(y) }),
        Plot.lineY(points, {
          x: 'x',
          y: of,
          z: ({ phase }: NormPoint) => phase,
          stroke: 'var(--rsst)',
          strokeWidth: 2,
          marker: 'dot',
        }),
        Plot.tip(
          points,
          Plot.pointerX({
            x: 'x',
            y: of,
            title: (point: NormPoint) =>
              `${t('epoch')} ${point.x}, ${point.phase}\n${scientific(of(point))}`,
            ...tipStyle,
          }),
        ),
      ],
    });
  const last = points.at(-1);
  return (
    <Chart
      title={t(name)}
      summary={last ? scientific(of(last)) : ''}
      draw={draw}
      table={{
        columns: [t('phase'), t('epoch'), t(name)],
        rows: points.map((point) => [point.phase, String(point.epoch), scientific(of(point))]),
      }}
    />
  );
}

/** Units that stay, and doomed ones where there are some. */
interface Part {
  readonly name: TextKey;
  readonly colour: string;
  readonly of: (norms: KindNorms) => NormSpread | undefined;
}

function partsOf(points: readonly NormPoint[], kind: string): Part[] {
  const hasDoomed = points.some(({ unitNorms }) => unitNorms.kinds[kind]?.doomed !== undefined);
  const kept: Part = {
    name: hasDoomed ? 'staying' : 'allUnits',
    colour: 'var(--kept)',
    of: (norms) => norms.kept,
  };
  const doomed: Part = { name: 'doomed', colour: 'var(--rsst)', of: (norms) => norms.doomed };
  return hasDoomed ? [kept, doomed] : [kept];
}

interface KindProps {
  readonly points: readonly NormPoint[];
  readonly kind: string;
}

/** Quantiles at 0, 5, 25, 50, 75, 95 and 100%. */
function Fan({ points, kind }: KindProps) {
  const page = usePage();
  const { t } = page;
  const parts = partsOf(points, kind);
  const title = t('norms', { kind: kindName(kind, page) });
  const spreads = parts.map((part) => ({
    ...part,
    points: points.flatMap(({ x, phase, unitNorms }) => {
      const norms = unitNorms.kinds[kind];
      const spread = norms && part.of(norms);
      return spread ? [{ x, phase, q: spread.quantiles }] : [];
    }),
  }));
  type Spread = (typeof spreads)[number]['points'][number];
  const at = (i: number) => (spread: Spread) => spread.q[i] ?? NaN;
  const phase = (spread: Spread): string => spread.phase;
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, heightFor(width)),
      ...axesOver(points, t('epoch')),
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0 }),
        ...spreads.flatMap((part) => [
          Plot.areaY(part.points, {
            x: 'x',
            y1: at(1),
            y2: at(5),
            z: phase,
            fill: part.colour,
            fillOpacity: 0.15,
          }),
          Plot.areaY(part.points, {
            x: 'x',
            y1: at(2),
            y2: at(4),
            z: phase,
            fill: part.colour,
            fillOpacity: 0.28,
          }),
          Plot.lineY(part.points, {
            x: 'x',
            y: at(3),
            z: phase,
            stroke: part.colour,
            strokeWidth: 2,
            marker: 'dot',
          }),
        ]),
      ],
    });
  const last = points.at(-1)?.unitNorms.kinds[kind];
  return (
    <Chart
      title={title}
      summary={parts
        .map(({ name, of }) =>
          t('labelled', {
            name: t(name),
            value: digits((last && of(last)?.quantiles[3]) ?? NaN),
          }),
        )
        .join(t('separator'))}
      draw={draw}
      table={{
        columns: [
          t('epoch'),
          ...parts.flatMap(({ name }) => ['5%', '50%', '95%'].map((q) => `${t(name)} ${q}`)),
        ],
        rows: points.map(({ x, unitNorms }) => [
          String(x),
          ...parts.flatMap(({ of }) => {
            const norms = unitNorms.kinds[kind];
            const q = (norms && of(norms)?.quantiles) ?? [];
            return [q[1], q[3], q[5]].map((value) => digits(value ?? NaN));
          }),
        ]),
      }}
    >
      <Legend entries={parts.map(({ name, colour }) => ({ label: t(name), colour }))} />
      {last?.doomedShare !== undefined && (
        <p class="help">
          {t('labelled', { name: t('doomedShare'), value: percent(last.doomedShare) })}
        </p>
      )}
    </Chart>
  );
}

/** The histogram after the last epoch of the last regularised training. */
function Distribution({ points, kind }: KindProps) {
  const page = usePage();
  const { t } = page;
  const last = points.at(-1);
  const norms = last?.unitNorms.kinds[kind];
  if (!last || !norms) return null;
  const parts = partsOf(points, kind);
  const bars = parts.flatMap(({ colour, of }): Bin[] => {
    const histogram = of(norms)?.histogram ?? [];
    const bin = norms.max / histogram.length;
    return histogram.map((units, i) => ({ x1: i * bin, x2: (i + 1) * bin, units, colour }));
  });
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, heightFor(width)),
      x: { label: `${t('norm')} →` },
      // Thousands at zero beside a few dozen: a root shows both.
      y: { type: 'sqrt', label: null, nice: true, zero: true },
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0, ticks: 5 }),
        stackedBars(bars),
        Plot.ruleY([0], { stroke: 'var(--line)' }),
      ],
    });
  return (
    <Chart
      title={t('labelled', {
        name: kindName(kind, page),
        value: t('distribution', { epoch: last.x }),
      })}
      summary={parts
        .map(({ name, of }) =>
          t('labelled', { name: t(name), value: grouped(of(norms)?.units ?? 0) }),
        )
        .join(t('separator'))}
      draw={draw}
      table={binTable(
        bars,
        parts.map(({ name, colour }) => ({ label: t(name), colour })),
        t('norm'),
      )}
    >
      <Legend
        entries={parts.map(({ name, colour, of }) => ({
          label: `${t(name)} ${grouped(of(norms)?.units ?? 0)}`,
          colour,
        }))}
      />
      <p class="help">{t('rootScale')}</p>
    </Chart>
  );
}
