// The comparison of methods over seeds: means, spread, tests.
import { useState } from 'preact/hooks';
import type { ComparedMethod, ComparisonData } from '../../src/page-data/comparison.js';
import { Chart } from '../charts/chart.js';
import { textWidth } from '../charts/text-width.js';
import { methodColour } from '../colours.js';
import { drawComparison } from '../comparison/picture.js';
import { usePage } from '../context.js';
import { Section, Select } from '../controls.js';
import { count, percent, points, statistic } from '../format.js';
import type { Translate } from '../i18n/index.js';
import { RunMark } from '../run-mark.js';
import {
  epochsText,
  hasCorrection,
  methodName,
  rateName,
  testsTitle,
  verdictText,
} from '../words.js';
import { Command } from './repeat.js';

export function Methods() {
  const { t, data } = usePage();
  const [chosen, choose] = useState('');
  const comparison = data.comparisons.find(({ id }) => id === chosen) ?? data.comparisons[0];
  if (!comparison) return null;
  const { arch, dataset, epochs, finetuneEpochs, seeds, done, planned, repeat } = comparison;
  const { givenDense } = comparison;
  return (
    <Section
      id="methods"
      title={t('methods')}
      help={t(givenDense > 0 ? 'methodsHelpGiven' : 'methodsHelp', {
        arch,
        dataset,
        epochs: epochsText(epochs, t),
        finetune: epochsText(finetuneEpochs, t),
        seeds: t(seeds.length === 1 ? 'seedOne' : 'seedMany', { seeds: seeds.length }),
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
      {givenDense === 1 && seeds.length > 1 && <p class="note">{t('denseShared')}</p>}
      <CutNotes comparison={comparison} />
      {done < planned && <p class="note">{t('methodsUnfinished', { done, planned })}</p>}
      <MethodTable comparison={comparison} />
      <Picture comparison={comparison} />
      {comparison.tests.length > 0 && <Tests comparison={comparison} />}
      {repeat && <Command command={repeat} />}
    </Section>
  );
}

/** What the cuts of all methods have that is not usual. */
function CutNotes({ comparison }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const own = Object.entries(comparison.ownRates);
  const rates = [...new Set(own.map(([, rate]) => rate))].sort((a, b) => a - b);
  const groupsAt = (wanted: number): string =>
    own.flatMap(([name, rate]) => (rate === wanted ? [name] : [])).join(', ');
  const goneAt = (wanted: number): string =>
    comparison.shortOfRates
      .filter(({ rate }) => rate === wanted)
      .map(({ kind, least, most }) => t('shareOfKind', { kind, share: shareRange(least, most) }))
      .join(t('and'));
  return (
    <div class="notes">
      {rates.map((rate) => (
        <p class="help" key={rate}>
          {rate === 0
            ? t('groupsWhole', { groups: groupsAt(rate) })
            : t('groupsOwnRate', { rate: rateName(rate, {}), groups: groupsAt(rate) })}
        </p>
      ))}
      {comparison.isCompensated && <p class="help">{t('cutsCompensated')}</p>}
      {comparison.methods.some(({ method }) => method === 'scratch') && (
        <p class="help">{t('scratchHelp')}</p>
      )}
      {[...new Set(comparison.shortOfRates.map(({ rate }) => rate))].map((rate) => (
        <p class="help" key={`short ${rate}`}>
          {t('rateShort', { rate: rateName(rate, comparison), gone: goneAt(rate) })}
        </p>
      ))}
    </div>
  );
}

function shareRange(least: number, most: number): string {
  const [low, high] = [percent(least, 1), percent(most, 1)];
  return low === high ? low : `${low}–${high}`;
}

function MethodTable({ comparison }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const { methods } = comparison;
  return (
    <div class="scroll card" tabIndex={0} role="region" aria-label={t('meanDeviation')}>
      <table>
        <caption>{t('meanDeviation')}</caption>
        <thead>
          <tr>
            {(['method', 'removed', 'accuracy'] as const).map((key) => (
              <th key={key} scope="col">
                {t(key)}
              </th>
            ))}
            <th scope="col">n</th>
            {(['toDense', 'beforeCut', 'afterCut', 'parameters', 'macs'] as const).map((key) => (
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
              <td>{removedName(result.rate, comparison, t)}</td>
              <td>
                <b>{percent(result.accuracy)}</b>
                {result.deviation !== null && ` ± ${(100 * result.deviation).toFixed(2)}`}
              </td>
              <td>{result.seeds.length}</td>
              <td>{toDenseText(result, comparison)}</td>
              <td>{cutText(result, result.beforeCut)}</td>
              <td>{cutText(result, result.afterCut)}</td>
              <td>{count(result.parameters)}</td>
              <td>{count(result.macs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `70%`, or under a budget `70% (MACs)`, or `61.4% (MACs: 3M)`. */
function removedName(rate: number, comparison: ComparisonData, t: Translate): string {
  const { budget, amountsAt } = comparison;
  const name = rateName(rate, comparison);
  if (rate === 0 || budget === undefined) return name;
  const amount = amountsAt.find((at) => at.rate === rate)?.amount;
  const cost = t(costNames[budget]);
  return `${name} (${amount === undefined ? cost : t('labelled', { name: cost, value: amount })})`;
}

const costNames = { macs: 'macs', params: 'parameters', file: 'fileSize' } as const;

/** Over the seeds that both have, as `compare` takes the difference in its tables. */
function toDenseText({ method, rate }: ComparedMethod, { runs }: ComparisonData): string {
  if (rate === 0) return '';
  const dense = new Map(
    runs.flatMap((run) => (run.method === 'dense' ? [[run.seed, run.accuracy] as const] : [])),
  );
  const differences = runs.flatMap((run) => {
    const other = dense.get(run.seed);
    return run.method === method && run.rate === rate && other !== undefined
      ? [run.accuracy - other]
      : [];
  });
  if (differences.length === 0) return '';
  return points(differences.reduce((sum, value) => sum + value, 0) / differences.length);
}

/** Nothing where nothing is cut. */
const cutText = ({ rate }: ComparedMethod, accuracy: number | null): string =>
  rate === 0 || accuracy === null ? '' : percent(accuracy);

/** Accuracy against MACs, as `mamba-prune compare` draws it too. */
function Picture({ comparison }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const { methods, runs } = comparison;
  const name = ({ method, rate }: { method: string; rate: number }): string =>
    `${methodName(method, t)} ${rateName(rate, comparison)}`.trim();
  const draw = (width: number): Element =>
    drawComparison(comparison, {
      width,
      plotHeight: Math.round(Math.min(380, Math.max(260, width * 0.45))),
      t,
      measure: textWidth,
      hasTips: true,
    });
  return (
    <Chart
      wide
      title={`${t('accuracy')} / ${t('macs')}`}
      summary={methods
        .map((result) => t('labelled', { name: name(result), value: percent(result.accuracy) }))
        .join(t('separator'))}
      draw={draw}
      table={{
        columns: [t('method'), t('removed'), t('seed'), t('accuracy'), t('macs')],
        rows: runs.map((run) => [
          methodName(run.method, t),
          removedName(run.rate, comparison, t),
          String(run.seed),
          percent(run.accuracy),
          count(run.macs),
        ]),
      }}
    >
      <p class="help">{t('seedsHelp')}</p>
    </Chart>
  );
}

function Tests({ comparison }: { readonly comparison: ComparisonData }) {
  const { t } = usePage();
  const { tests } = comparison;
  const share = `${100 * (tests[0]?.confidence ?? 0.95)}%`;
  const isCorrected = hasCorrection(tests);
  const title = testsTitle(tests, t);
  return (
    <div class="scroll card" tabIndex={0} role="region" aria-label={title}>
      <table>
        <caption>{isCorrected ? `${title}. ${t('holmHelp')}` : title}</caption>
        <thead>
          <tr>
            <th scope="col">{t('method')}</th>
            <th scope="col">{t('removed')}</th>
            <th scope="col">{t('difference')}</th>
            <th scope="col">{t('interval', { share })}</th>
            <th scope="col">t</th>
            <th scope="col">p</th>
            {isCorrected && <th scope="col">p (Holm)</th>}
            <th scope="col">{t('verdict')}</th>
          </tr>
        </thead>
        <tbody>
          {tests.map((test, i) => (
            <tr key={i}>
              <th scope="row">{test.methods.map((method) => methodName(method, t)).join(' − ')}</th>
              <td>{removedName(test.rate, comparison, t)}</td>
              <td>{points(test.difference)}</td>
              <td>{test.interval ? test.interval.map((end) => points(end)).join(' … ') : '–'}</td>
              <td>{test.t === null ? '–' : statistic(test.t)}</td>
              <td>{pText(test.p)}</td>
              {isCorrected && <td>{pText(test.pHolm)}</td>}
              <td>{verdictText(test, t)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const pText = (p: number | null): string =>
  p === null ? '–' : p < 0.001 ? '< 0.001' : p.toFixed(3);
