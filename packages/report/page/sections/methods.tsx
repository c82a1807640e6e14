// The comparison of methods over seeds: means, spread, tests.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type {
  ComparedMethod,
  ComparedRun,
  ComparedTest,
  ComparisonData,
} from '../../src/data/types.js';
import { Chart } from '../charts/chart.js';
import { gridStyle, plotStyle, tipStyle } from '../charts/plot-style.js';
import { shortened, textWidth } from '../charts/text-width.js';
import { methodColour } from '../colours.js';
import { usePage } from '../context.js';
import { Section, Select } from '../controls.js';
import { count, percent, points } from '../format.js';
import type { TextKey, Translate } from '../i18n/index.js';
import { RunMark } from '../run-mark.js';
import { Command } from './repeat.js';

export function Methods() {
  const { t, data } = usePage();
  const [chosen, choose] = useState('');
  const comparison = data.comparisons.find(({ id }) => id === chosen) ?? data.comparisons[0];
  if (!comparison) return null;
  const { arch, dataset, epochs, finetuneEpochs, seeds, done, planned, repeat } = comparison;
  return (
    <Section
      id="methods"
      title={t('methods')}
      help={t('methodsHelp', {
        arch,
        dataset,
        epochs,
        finetune: finetuneEpochs,
        seeds: seeds.length,
      })}
      controls={
        data.comparisons.length > 1 && (
          <Select
            label={t('comparison')}
            value={comparison.id}
            choices={data.comparisons.map(({ id }) => ({ value: id, label: id }))}
            onChange={choose}
          />
        )
      }
    >
      {done < planned && <p class="note">{t('methodsUnfinished', { done, planned })}</p>}
      <MethodTable comparison={comparison} />
      <Strips comparison={comparison} />
      {comparison.tests.length > 0 && <Tests tests={comparison.tests} />}
      {repeat && <Command command={repeat} />}
    </Section>
  );
}

const methodName = (method: string, t: Translate): string =>
  ['dense', 'oneshot', 'refill', 'rsst'].includes(method) ? t(method as TextKey) : method;

const rateName = (rate: number): string =>
  rate === 0 ? '' : `${Number((100 * rate).toFixed(4))}%`;

function MethodTable({ comparison: { methods } }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const dense = methods.find(({ method }) => method === 'dense');
  return (
    <div class="scroll card" tabIndex={0} role="region" aria-label={t('meanDeviation')}>
      <table>
        <caption>{t('meanDeviation')}</caption>
        <thead>
          <tr>
            {(
              [
                'method',
                'removed',
                'accuracy',
                'toDense',
                'beforeCut',
                'afterCut',
                'parameters',
                'macs',
              ] as const
            ).map((key) => (
              <th key={key} scope="col">
                {t(key)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {methods.map((result) => (
            <tr key={`${result.method}-${result.rate}`}>
              <th scope="row">
                <RunMark method={result.method} colour={methodColour(result.method)} />
                {methodName(result.method, t)}
              </th>
              <td>{rateName(result.rate)}</td>
              <td>
                <b>{percent(result.accuracy)}</b>
                {result.deviation !== null && ` ± ${(100 * result.deviation).toFixed(2)}`}
              </td>
              <td>{result.rate > 0 && dense ? points(result.accuracy - dense.accuracy) : ''}</td>
              <td>{result.rate > 0 ? percent(result.beforeCut) : ''}</td>
              <td>{result.rate > 0 ? percent(result.afterCut) : ''}</td>
              <td>{count(result.parameters)}</td>
              <td>{count(result.macs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** One row per method and rate: a dot per seed, the mean, and one standard deviation to each side. */
function Strips({ comparison: { methods, runs } }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const name = ({ method, rate }: { method: string; rate: number }): string =>
    `${methodName(method, t)} ${rateName(rate)}`.trim();
  const withSpread = methods.filter(({ deviation }) => deviation !== null);
  const draw = (width: number): Element => {
    const most = Math.min(220, 0.4 * width);
    const short = new Map(methods.map((result) => [name(result), shortened(name(result), most)]));
    const left = 16 + Math.max(40, ...[...short.values()].map((text) => textWidth(text)));
    return Plot.plot({
      ...plotStyle(width, 64 + 34 * methods.length),
      marginLeft: left,
      x: { label: `${t('accuracy')} →`, nice: true, inset: 10 },
      y: { type: 'band', domain: methods.map(name), label: null, padding: 0.3 },
      marks: [
        Plot.gridX(gridStyle),
        Plot.axisX({
          label: `${t('accuracy')} →`,
          tickSize: 0,
          ticks: Math.max(2, (width - left) / 90),
          tickFormat: (x: number) => `${Number((100 * x).toFixed(2))}%`,
        }),
        Plot.axisY({
          label: null,
          tickSize: 0,
          fill: 'var(--ink)',
          tickFormat: (full: string) => short.get(full) ?? full,
        }),
        Plot.ruleY(withSpread, {
          y: name,
          x1: ({ accuracy, deviation }: ComparedMethod) => accuracy - (deviation ?? 0),
          x2: ({ accuracy, deviation }: ComparedMethod) => accuracy + (deviation ?? 0),
          stroke: ({ method }: ComparedMethod) => methodColour(method),
          strokeWidth: 8,
          strokeOpacity: 0.25,
          strokeLinecap: 'round',
        }),
        Plot.dot(runs, {
          y: name,
          x: 'accuracy',
          r: 3.5,
          stroke: ({ method }: ComparedRun) => methodColour(method),
          fill: 'var(--card)',
          strokeWidth: 1.5,
        }),
        Plot.tickX(methods, {
          y: name,
          x: 'accuracy',
          stroke: ({ method }: ComparedMethod) => methodColour(method),
          strokeWidth: 3,
        }),
        Plot.tip(
          runs,
          Plot.pointer({
            y: name,
            x: 'accuracy',
            title: (run: ComparedRun) =>
              `${name(run)}\n${t('labelled', { name: `${t('seed')} ${run.seed}`, value: percent(run.accuracy) })}`,
            ...tipStyle,
          }),
        ),
      ],
    });
  };
  return (
    <Chart
      wide
      title={t('accuracy')}
      summary={methods
        .map((result) => t('labelled', { name: name(result), value: percent(result.accuracy) }))
        .join(t('separator'))}
      draw={draw}
      table={{
        columns: [t('method'), t('removed'), t('seed'), t('accuracy'), t('macs')],
        rows: runs.map((run) => [
          methodName(run.method, t),
          rateName(run.rate),
          String(run.seed),
          percent(run.accuracy),
          count(run.macs),
        ]),
      }}
    >
      <p class="help">{t('stripsHelp')}</p>
    </Chart>
  );
}

function Tests({ tests }: { readonly tests: readonly ComparedTest[] }) {
  const { t } = usePage();
  const share = `${100 * (tests[0]?.confidence ?? 0.95)}%`;
  return (
    <div class="scroll card" tabIndex={0} role="region" aria-label={t('tests')}>
      <table>
        <caption>{t('tests')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('method')}</th>
            <th scope="col">{t('removed')}</th>
            <th scope="col">{t('difference')}</th>
            <th scope="col">{t('interval', { share })}</th>
            <th scope="col">t</th>
            <th scope="col">p</th>
            <th scope="col">{t('verdict')}</th>
          </tr>
        </thead>
        <tbody>
          {tests.map((test, i) => (
            <tr key={i}>
              <th scope="row">{test.methods.map((method) => methodName(method, t)).join(' − ')}</th>
              <td>{rateName(test.rate)}</td>
              <td>{points(test.difference)}</td>
              <td>{test.interval ? test.interval.map((end) => points(end)).join(' … ') : '–'}</td>
              <td>{test.t === null ? '–' : test.t.toFixed(2).replace('-', '−')}</td>
              <td>{pText(test.p)}</td>
              <td>{verdict(test)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

  function verdict({ methods, difference, p, confidence }: ComparedTest): string {
    if (p === null) return t('noTest');
    if (p >= 1 - confidence) return t('noDifference');
    return t('better', { method: methodName(difference > 0 ? methods[0] : methods[1], t) });
  }
}

const pText = (p: number | null): string =>
  p === null ? '–' : p < 0.001 ? '< 0.001' : p.toFixed(3);
