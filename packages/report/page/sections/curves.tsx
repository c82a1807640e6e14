// Loss, accuracy and learning rate over the epochs of all trainings of a run.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type { EpochPoint } from '../../src/page-data/epochs.js';
import type { RoundData } from '../../src/page-data/pruning.js';
import type { RunData } from '../../src/page-data/run.js';
import { Chart, type TableData } from '../charts/chart.js';
import { markOf } from '../charts/highlight.js';
import { flags } from '../charts/label-marks.js';
import { flagRoom, gridStyle, heightFor, plotStyle, tipStyle } from '../charts/plot-style.js';
import { usePage, useShownRuns } from '../context.js';
import { Legend, Section, Switch } from '../controls.js';
import { percent } from '../format.js';
import type { Translate } from '../i18n/index.js';
import { RunLegend } from '../run-legend.js';

type Value = 'accuracy' | 'loss' | 'lr';

/** A point of one line. */
interface Dot {
  readonly run: RunData;
  readonly x: number;
  readonly y: number;
  readonly phase: string;
  readonly part: 'train' | 'test';
}

export function Curves() {
  const { t } = usePage();
  const runs = useShownRuns().filter(({ epochs, steps }) => epochs.length + steps.length > 0);
  const [isLog, setLog] = useState(false);
  return (
    <Section
      id="curves"
      title={t('curves')}
      help={t('curvesHelp')}
      controls={<Switch label={t('logScale')} checked={isLog} onChange={setLog} />}
    >
      <RunLegend has={({ epochs, steps }) => epochs.length + steps.length > 0} />
      <div class="grid three">
        <Curve value="accuracy" runs={runs} isLog={false} />
        <Curve value="loss" runs={runs} isLog={isLog} />
        <Curve value="lr" runs={runs} isLog={isLog} />
      </div>
    </Section>
  );
}

interface CurveProps {
  readonly value: Value;
  readonly runs: readonly RunData[];
  readonly isLog: boolean;
}

function Curve({ value, runs, isLog }: CurveProps) {
  const { t, colourOf, focus } = usePage();
  const title = t(value);
  const dots = runs.flatMap((run) => dotsOf(run, value));
  // Points that touch hide each other and the line.
  const points = Math.max(...runs.map(({ id }) => countOf(dots, id)));
  const marked = runs.length < 12 && points <= 40;
  // The cuts of every run would be a thicket.
  const cuts = runs.some(({ id }) => id === focus?.id) && focus ? cutsOf(focus) : [];
  const draw = (width: number): Element =>
    Plot.plot({
      ...plotStyle(width, heightFor(width), cuts.length > 0 ? flagRoom : 0),
      x: {
        label: t('epoch'),
        domain: [0, lastEpoch(dots)],
        ticks: integerTicks(dots, width),
        tickFormat: (x: number) => String(x),
      },
      y: {
        label: null,
        nice: true,
        ...(isLog && { type: 'log' as const }),
      },
      marks: [
        Plot.gridY(gridStyle),
        Plot.axisY({ label: null, tickSize: 0, tickFormat: tickText[value] }),
        Plot.ruleX(cuts, {
          x: 'x',
          stroke: 'var(--soft)',
          strokeDasharray: '2,3',
          strokeOpacity: 0.7,
        }),
        flags(
          cuts.map(({ x, round }) => ({ x, text: t('cut', { round }) })),
          'var(--soft)',
        ),
        ...(['train', 'test'] as const).map((part) =>
          Plot.lineY(
            dots.filter(
              (dot) => dot.part === part && Number.isFinite(dot.y) && !(isLog && dot.y <= 0),
            ),
            {
              x: 'x',
              y: 'y',
              z: ({ run }: Dot) => run.id,
              stroke: ({ run }: Dot) => colourOf(run),
              ariaLabel: ({ run }: Dot) => markOf(run),
              strokeWidth: part === 'test' ? 2 : 1.25,
              strokeDasharray: part === 'test' ? 'none' : '4,3',
              strokeOpacity: part === 'test' ? 1 : 0.75,
              ...(marked && part === 'test' && { marker: 'dot' as const }),
            },
          ),
        ),
        Plot.tip(
          dots,
          Plot.pointer({
            x: 'x',
            y: 'y',
            title: (dot: Dot) =>
              [
                dot.run.id,
                phaseText(dot, t),
                t('labelled', { name: title, value: textOf(value, dot.y) }),
              ].join('\n'),
            ...tipStyle,
          }),
        ),
      ],
    });
  const lines = [
    { label: t('testSet'), colour: 'currentColor', line: 'solid' as const },
    { label: t('trainSet'), colour: 'currentColor', line: 'dashed' as const },
  ];
  return (
    <Chart
      title={title}
      summary={summaryOf(runs, value, t)}
      draw={draw}
      table={tableOf(runs, value, t)}
    >
      {value !== 'lr' && <Legend entries={lines} />}
    </Chart>
  );
}

const countOf = (dots: readonly Dot[], id: string): number =>
  dots.filter(({ part, run }) => part === 'test' && run.id === id).length;

function dotsOf(run: RunData, value: Value): Dot[] {
  const dot = (part: Dot['part'], { x, phase }: EpochPoint, y: number | null | undefined): Dot[] =>
    y === null || y === undefined ? [] : [{ run, x, y, phase, part }];
  if (value === 'lr') return run.epochs.flatMap((point) => dot('test', point, point.lr));
  if (value === 'accuracy') {
    return [
      ...run.epochs.flatMap((point) => dot('train', point, point.trainAccuracy)),
      ...testAccuracies(run),
    ];
  }
  const steps = run.steps.map(({ x, loss }): Dot => ({
    run,
    x,
    y: loss,
    part: 'train',
    phase: '',
  }));
  return [
    ...(steps.length > 0 ? steps : run.epochs.flatMap((point) => dot('train', point, point.loss))),
    ...run.epochs.flatMap((point) => dot('test', point, point.valLoss)),
  ];
}

const tickText: Readonly<Record<Value, (y: number) => string>> = {
  accuracy: (y) => `${Number((100 * y).toFixed(1))}%`,
  loss: (y) => String(Number(y.toPrecision(3))),
  lr: (y) => (y === 0 ? '0' : y.toExponential(1).replace('.0e', 'e')),
};

/** After every epoch, and before and after every cut, which is a drop. */
function testAccuracies(run: RunData): Dot[] {
  const cuts = cutsOf(run).flatMap(({ x, accuracy }) =>
    [accuracy.before, accuracy.afterCut].map((y) => ({ x, y, phase: '' })),
  );
  const epochs = run.epochs.map(({ x, phase, emaAccuracy, valAccuracy }) => ({
    x,
    y: emaAccuracy ?? valAccuracy,
    phase,
  }));
  // Stable: what an epoch ends with comes before the cut that follows it.
  return [...epochs, ...cuts]
    .sort((a, b) => a.x - b.x)
    .flatMap(({ x, y, phase }) =>
      y === null ? [] : [{ run, x, y, phase, part: 'test' as const }],
    );
}

/** A cut lies where the training after it begins, or where the one before it ended. */
function cutsOf(run: RunData): (Pick<RoundData, 'round' | 'accuracy'> & { readonly x: number })[] {
  return (run.pruning?.rounds ?? []).map(({ round, accuracy }) => {
    const after = run.phases.find((phase) => phase.round === round && phase.kind === 'finetune');
    const before = run.phases.findLast((phase) => phase.round <= round);
    return { x: after?.before ?? (before ? before.before + before.epochs : 0), round, accuracy };
  });
}

const textOf = (value: Value, y: number): string =>
  value === 'accuracy' ? percent(y) : value === 'lr' ? y.toExponential(2) : y.toFixed(4);

const phaseText = ({ x, phase, part }: Dot, t: Translate): string =>
  [
    `${t('epoch')} ${Number(x.toFixed(2))}`,
    ...(phase === '' ? [] : [phase]),
    t(part === 'test' ? 'testSet' : 'trainSet'),
  ].join(t('comma'));

const lastEpoch = (dots: readonly Dot[]): number =>
  dots.reduce((last, { x }) => Math.max(last, Math.ceil(x)), 1);

function integerTicks(dots: readonly Dot[], width: number): number[] {
  const last = lastEpoch(dots);
  const least = Math.max(1, last / Math.max(3, width / 60));
  const power = 10 ** Math.floor(Math.log10(least));
  // 1, 2, 5, 10, 20, 50 ...; the last of these four is never below `least`.
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? last;
  return Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step);
}

function summaryOf(runs: readonly RunData[], value: Value, t: Translate): string {
  return runs
    .flatMap((run) => {
      const last = dotsOf(run, value).findLast(({ part }) => part === 'test');
      return last
        ? [
            t('labelled', {
              name: run.id,
              value: `${textOf(value, last.y)} (${t('epoch')} ${last.x})`,
            }),
          ]
        : [];
    })
    .join(t('separator'));
}

function tableOf(runs: readonly RunData[], value: Value, t: Translate): TableData {
  const rows = runs.flatMap((run) =>
    run.epochs.map((point) => [
      run.id,
      point.phase,
      String(point.epoch),
      ...(value === 'lr'
        ? [textOf('lr', point.lr)]
        : value === 'loss'
          ? [textOf(value, point.loss), optional(point.valLoss)]
          : [textOf(value, point.trainAccuracy), optional(point.emaAccuracy ?? point.valAccuracy)]),
    ]),
  );
  const head = [t('run'), t('phase'), t('epoch')];
  return {
    columns: value === 'lr' ? [...head, t('lr')] : [...head, t('trainSet'), t('testSet')],
    rows,
  };

  function optional(y: number | null | undefined): string {
    return y === null || y === undefined ? '–' : textOf(value, y);
  }
}
