// What each part of a model loses when it alone is cut: a strip of parts for each kind, darker where more is lost.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type { SensitivityData, SensitivityPartData } from '../../src/page-data/sensitivity.js';
import { Chart } from '../charts/chart.js';
import { thinned } from '../charts/place-labels.js';
import { plotStyle, tipStyle } from '../charts/plot-style.js';
import { textOn } from '../charts/text-on.js';
import { textWidth } from '../charts/text-width.js';
import { usePage } from '../context.js';
import { Section, Segments, Select } from '../controls.js';
import { digits, grouped, percent, withMinus } from '../format.js';
import { sensitivitiesOf } from '../sensitivities.js';
import { kindName, shortNames } from '../words.js';

type Measure = 'accuracy' | 'loss';

export function Sensitivity() {
  const { t, data, focus } = usePage();
  const all = sensitivitiesOf(data);
  const [chosen, setChosen] = useState<string>();
  const [measure, setMeasure] = useState<Measure>('accuracy');
  const shown =
    all.find(({ id }) => id === chosen) ?? all.find(({ id }) => id === focus?.id) ?? all[0];
  if (!shown) return null;
  const { images, finished } = shown;
  const kinds = [...new Set(shown.parts.map((part) => part.kinds.join()))];
  return (
    <Section
      id="sensitivity"
      title={t('sensitivity')}
      help={t('sensitivityHelp')}
      controls={
        <>
          {all.length > 1 && (
            <Select
              label={t('run')}
              choices={all.map(({ id }) => ({ value: id, label: id }))}
              value={shown.id}
              onChange={setChosen}
            />
          )}
          <Segments
            label={t('sensitivity')}
            choices={[
              { value: 'accuracy', label: t('pointsLost') },
              { value: 'loss', label: t('lossGained') },
            ]}
            value={measure}
            onChange={setMeasure}
          />
        </>
      }
    >
      <p class="help">
        {t('sensitivityOf', {
          name: shown.id,
          images: grouped(images.count),
          split: t(images.split === 'train' ? 'trainSet' : 'testSet'),
          dataset: images.dataset,
          accuracy: percent(shown.accuracy, 1),
          loss: digits(shown.loss),
        })}
        {!finished && `${t('betweenSentences')}${t('sensitivityUnfinished')}`}
      </p>
      {kinds.map((kind) => (
        <Strip key={kind} of={shown} kind={kind} measure={measure} />
      ))}
    </Section>
  );
}

interface Cell {
  readonly part: SensitivityPartData;
  readonly block: string;
  readonly rate: string;
  readonly lost: number;
  readonly said: string;
}

function Strip({
  of,
  kind,
  measure,
}: {
  readonly of: SensitivityData;
  readonly kind: string;
  readonly measure: Measure;
}) {
  const page = usePage();
  const { t } = page;
  const parts = of.parts.filter((part) => part.kinds.join() === kind);
  const names = shortNames(parts);
  const lost = (point: { readonly loss: number; readonly accuracy: number }): number =>
    measure === 'loss' ? point.loss - of.loss : 100 * (of.accuracy - point.accuracy);
  const text = (value: number): string =>
    withMinus(measure === 'loss' ? digits(value) : value.toFixed(1).replace(/^-(?=0\.0$)/, ''));
  // One scale for all kinds, so that they can be held against each other.
  const most = Math.max(1e-9, ...of.parts.flatMap(({ points }) => points.map(lost)));
  const opacityOf = (value: number): number => 0.07 + 0.93 * Math.min(1, Math.max(0, value / most));
  const cells = parts.flatMap((part, i) =>
    part.points.map((point): Cell => ({
      part,
      block: names[i] ?? part.name,
      rate: percent(point.rate, 0),
      lost: lost(point),
      said: text(lost(point)),
    })),
  );
  const rates = of.rates.map((rate) => percent(rate, 0));
  const title = of.by === 'group' ? kindName(kind, page) : of.by;
  const measured = t(measure === 'loss' ? 'lossGained' : 'pointsLost');
  const worst = cells.reduce<Cell | undefined>(
    (a, b) => (a && a.lost >= b.lost ? a : b),
    undefined,
  );
  const hasCut = parts.some(({ cut }) => cut !== undefined);
  const draw = (width: number): Element => {
    const room = (width - 80) / Math.max(1, parts.length);
    const widest = Math.max(0, ...cells.map(({ said }) => textWidth(said)));
    return Plot.plot({
      ...plotStyle(width, 60 + 30 * rates.length),
      marginLeft: 64,
      x: { type: 'band', domain: names, padding: 0.06, label: t('group') },
      y: { type: 'band', domain: rates, padding: 0.06, label: t('shareRemoved') },
      color: { type: 'identity' },
      opacity: { type: 'identity' },
      marks: [
        Plot.axisX({
          label: t('group'),
          tickSize: 0,
          ticks: [
            ...thinned(
              names,
              names.map((name) => textWidth(name)),
              room,
            ),
          ],
        }),
        Plot.axisY({ label: t('shareRemoved'), tickSize: 0 }),
        Plot.cell(cells, {
          x: 'block',
          y: 'rate',
          fill: 'var(--accent)',
          fillOpacity: ({ lost: value }: Cell) => opacityOf(value),
        }),
        room < widest + 4
          ? null
          : Plot.text(cells, {
              x: 'block',
              y: 'rate',
              text: 'said',
              fill: ({ lost: value }: Cell) => textOn('--accent', opacityOf(value)),
            }),
        Plot.tip(
          cells,
          Plot.pointer({
            x: 'block',
            y: 'rate',
            title: ({ part, rate, said }: Cell) =>
              `${part.name}\n${t('shareRemoved')}: ${rate}\n${measured}: ${said}`,
            ...tipStyle,
          }),
        ),
      ],
    });
  };
  return (
    <Chart
      title={title}
      summary={worst ? `${worst.part.name}, ${worst.rate}: ${measured} ${worst.said}` : ''}
      draw={draw}
      wide
      table={{
        columns: [t('group'), ...rates, ...(hasCut ? [t('cutBySearch')] : [])],
        rows: parts.map((part) => [
          part.name,
          ...of.rates.map((rate) => {
            const point = part.points.find((each) => each.rate === rate);
            return point ? text(lost(point)) : '';
          }),
          ...(hasCut ? [part.cut === undefined ? '' : percent(part.cut, 0)] : []),
        ]),
      }}
    />
  );
}
