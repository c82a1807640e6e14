// Confusion matrices, and test images that the dense and the pruned model see differently.
import * as Plot from '@observablehq/plot';
import { useState } from 'preact/hooks';
import type {
  DisagreementData,
  DisagreementExample,
  EvaluationData,
} from '../../src/page-data/evaluation.js';
import { Chart } from '../charts/chart.js';
import { plotStyle, tipStyle } from '../charts/plot-style.js';
import { textOn } from '../charts/text-on.js';
import { shortened, textWidth } from '../charts/text-width.js';
import { usePage } from '../context.js';
import { RunSelect, Section, Segments, ShowAll } from '../controls.js';
import { grouped, percent } from '../format.js';
import type { TextKey } from '../i18n/index.js';
import { Prose } from '../prose.js';
import type { Evaluated } from '../try-out/models.js';

export function Images() {
  const { data, models } = usePage();
  const [asked, setAsked] = useState<EvaluationData>();
  const evaluation = asked ?? data.evaluation;
  const ask = models?.evaluate;
  return (
    <>
      {evaluation && <Shown evaluation={evaluation} />}
      {ask && <Ask ask={ask} isAgain={evaluation !== undefined} onAnswer={setAsked} />}
    </>
  );
}

interface AskProps {
  readonly ask: () => Promise<Evaluated>;
  readonly isAgain: boolean;
  readonly onAnswer: (evaluation: EvaluationData) => void;
}

/** The studio classifies the images when it is asked: that takes the machine a while. */
function Ask({ ask, isAgain, onAnswer }: AskProps) {
  const { t } = usePage();
  const [state, setState] = useState<'idle' | 'busy'>('idle');
  const [problem, setProblem] = useState('');
  const start = async (): Promise<void> => {
    setState('busy');
    setProblem('');
    try {
      const { evaluation, notes } = await ask();
      if (evaluation) onAnswer(evaluation);
      setProblem(notes.join(' '));
    } catch (error) {
      setProblem((error as Error).message);
    }
    setState('idle');
  };
  const button = (
    <button
      type="button"
      id="classify"
      disabled={state === 'busy'}
      onClick={() => {
        void start();
      }}
    >
      {t(state === 'busy' ? 'classifying' : 'classify')}
    </button>
  );
  return (
    <>
      {isAgain ? (
        <p class="again">{button}</p>
      ) : (
        <Section id="images" title={t('images')} help={t('classifyHelp')}>
          {button}
        </Section>
      )}
      <div role="status">
        {problem !== '' && (
          <p class="note">
            <Prose text={problem} />
          </p>
        )}
      </div>
    </>
  );
}

function Shown({ evaluation }: { readonly evaluation: EvaluationData }) {
  const { t, focus } = usePage();
  const shown = evaluation.runs.find(({ run }) => run === focus?.id) ?? evaluation.runs.at(-1);
  if (!shown) return null;
  const pair =
    evaluation.pairs.find(({ pruned }) => pruned === shown.run) ?? evaluation.pairs.at(-1);
  const { images, available, dataset } = evaluation;
  return (
    <Section
      id="images"
      title={t('images')}
      help={t('imagesHelp', { images: grouped(images), available: grouped(available), dataset })}
      controls={<RunSelect value={shown.run} runs={evaluation.runs.map(({ run }) => run)} />}
    >
      <Confusion evaluation={evaluation} run={shown} />
      {pair && <Disagreements pair={pair} classes={evaluation.classes} />}
    </Section>
  );
}

interface ConfusionProps {
  readonly evaluation: EvaluationData;
  readonly run: EvaluationData['runs'][number];
}

/** Of a square. Mistakes are rare: a root makes them visible. */
const opacityOf = (share: number): number => 0.06 + 0.94 * Math.sqrt(share);

interface Cell {
  readonly label: string;
  readonly predicted: string;
  readonly images: number;
  readonly share: number;
  readonly isRight: boolean;
}

function Confusion({ evaluation: { classes }, run }: ConfusionProps) {
  const { t } = usePage();
  const cells = classes.flatMap((label, row): Cell[] => {
    const counts = classes.map((_, column) => run.confusion[row * classes.length + column] ?? 0);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((images, column) => ({
      label,
      images,
      predicted: classes[column] ?? '',
      share: total > 0 ? images / total : 0,
      isRight: row === column,
    }));
  });
  const mistakes = cells
    .filter(({ isRight, images }) => !isRight && images > 0)
    .sort((a, b) => b.images - a.images);
  const few = classes.length <= 24;
  const draw = (width: number): Element => {
    const short = classes.map((name) => shortened(name, 110, (text) => textWidth(text, 11)));
    const longest = Math.max(...short.map((name) => textWidth(name, 11)));
    const nameOf = (name: string): string => short[classes.indexOf(name)] ?? name;
    // A phone has room for the names of few classes.
    const named = few && (width > 480 || classes.length <= 12);
    const left = named ? 16 + longest : 14;
    const side = Math.min(560, width - left - 20);
    const cell = side / classes.length;
    // Side by side where they have room, else upright.
    const isUpright = longest + 4 > cell;
    const below = few ? (isUpright ? longest : 12) + 26 : 8;
    return Plot.plot({
      ...plotStyle(left + side + 20, side + below + 8),
      marginLeft: left,
      marginBottom: below,
      marginTop: 8,
      // Of many classes a few names would stand for the wrong columns: pointing at a square names its two.
      x: {
        domain: classes,
        label: t('predicted'),
        labelOffset: below - 4,
        ...(!few && { axis: null }),
      },
      y: { domain: classes, label: null, ...(!named && { axis: null }) },
      marks: [
        few
          ? Plot.axisX({
              tickSize: 0,
              label: null,
              tickRotate: isUpright ? -90 : 0,
              tickFormat: nameOf,
              fill: 'var(--ink)',
              fontSize: 11,
            })
          : null,
        named
          ? Plot.axisY({
              tickSize: 0,
              label: null,
              tickFormat: nameOf,
              fill: 'var(--ink)',
              fontSize: 11,
            })
          : null,
        Plot.cell(cells, {
          x: 'predicted',
          y: 'label',
          fill: ({ isRight }: Cell) => (isRight ? 'var(--kept)' : 'var(--rsst)'),
          fillOpacity: ({ share }: Cell) => (share > 0 ? opacityOf(share) : 0),
          inset: few ? 1 : 0,
          rx: few ? 3 : 0,
        }),
        cell > 22
          ? Plot.text(
              cells.filter(({ images }) => images > 0),
              {
                x: 'predicted',
                y: 'label',
                text: ({ share }: Cell) => (100 * share).toFixed(share < 0.095 ? 1 : 0),
                fill: ({ share, isRight }: Cell) =>
                  textOn(isRight ? '--kept' : '--rsst', opacityOf(share)),
                fontSize: Math.min(12, cell / 3),
              },
            )
          : null,
        Plot.tip(
          cells,
          Plot.pointer({
            x: 'predicted',
            y: 'label',
            title: (found: Cell) =>
              `${t('confused', { true: found.label, predicted: found.predicted })}\n${grouped(found.images)} (${percent(found.share, 1)})`,
            ...tipStyle,
          }),
        ),
      ],
      color: { type: 'identity' },
      opacity: { type: 'identity' },
    });
  };
  return (
    <div class="beside">
      <Chart
        title={t('labelled', {
          name: t('confusion'),
          value: [run.run, percent(run.accuracy)].join(t('comma')),
        })}
        summary={mistakes
          .slice(0, 3)
          .map(({ label, predicted, images }) =>
            t('labelled', { name: t('confused', { true: label, predicted }), value: images }),
          )
          .join(t('separator'))}
        draw={draw}
        table={{
          columns: [t('trueClass'), t('predicted'), t('images'), t('share')],
          rows: mistakes
            .slice(0, 60)
            .map(({ label, predicted, images, share }) => [
              label,
              predicted,
              grouped(images),
              percent(share, 1),
            ]),
        }}
      >
        <p class="help">{t('confusionHelp')}</p>
      </Chart>
      <Mistakes mistakes={mistakes.slice(0, 12)} />
    </div>
  );
}

/** The commonest mistakes as bars. */
function Mistakes({ mistakes }: { readonly mistakes: readonly Cell[] }) {
  const { t } = usePage();
  const most = mistakes[0]?.images ?? 1;
  return (
    <div class="chart">
      <h3>{t('mistakes')}</h3>
      <ol class="bars">
        {mistakes.map(({ label, predicted, images }) => (
          <li key={`${label}-${predicted}`}>
            <span>{t('confused', { true: label, predicted })}</span>
            <b>{grouped(images)}</b>
            <i style={{ width: `${(100 * images) / most}%` }} />
          </li>
        ))}
      </ol>
    </div>
  );
}

type Kind = 'all' | 'onlyDenseRight' | 'onlyPrunedRight' | 'bothWrong';

function kindOf({ label, dense, pruned }: DisagreementExample): Kind {
  if (dense.predicted === label) return 'onlyDenseRight';
  return pruned.predicted === label ? 'onlyPrunedRight' : 'bothWrong';
}

/** Rows of two, three or four; on a phone the page stays short. */
const firstExamples = 12;

interface DisagreementsProps {
  readonly pair: DisagreementData;
  readonly classes: readonly string[];
}

function Disagreements({ pair, classes }: DisagreementsProps) {
  const { t } = usePage();
  const [kind, choose] = useState<Kind>('all');
  const { counts, examples } = pair;
  const kinds: Kind[] = ['all', 'onlyDenseRight', 'onlyPrunedRight', 'bothWrong'];
  const [isOpen, setOpen] = useState(false);
  const chosen = examples.filter((example) => kind === 'all' || kindOf(example) === kind);
  const shown = isOpen ? chosen : chosen.slice(0, firstExamples);
  return (
    <div class="chart wide" id="disagreements">
      <h3>
        {t('labelled', { name: t('disagreements'), value: `${pair.dense} / ${pair.pruned}` })}
      </h3>
      <p class="help">
        {t(
          'disagreementsHelp',
          Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, grouped(count)])),
        )}
      </p>
      {examples.length === 0 ? (
        <p>{t('noDisagreements')}</p>
      ) : (
        <>
          <Segments
            label={t('disagreements')}
            value={kind}
            onChange={choose}
            choices={kinds.map((value) => ({ value, label: t(value as TextKey) }))}
          />
          <ul class="gallery">
            {shown.map((example) => (
              <Example key={example.index} example={example} classes={classes} />
            ))}
          </ul>
          {chosen.length > shown.length && (
            <ShowAll
              count={chosen.length}
              onClick={() => {
                setOpen(true);
              }}
            />
          )}
        </>
      )}
    </div>
  );
}

interface ExampleProps {
  readonly example: DisagreementExample;
  readonly classes: readonly string[];
}

function Example({ example: { index, label, image, dense, pruned }, classes }: ExampleProps) {
  const { t } = usePage();
  const name = classes[label] ?? String(label);
  return (
    <li>
      <img src={image} alt={t('imageAlt', { index, label: name })} width="84" height="84" />
      <div>
        <b>{name}</b>
        <Answer who={t('dense')} answer={dense} />
        <Answer who={t('pruned')} answer={pruned} />
      </div>
    </li>
  );

  function Answer({ who, answer }: { who: string; answer: DisagreementExample['dense'] }) {
    const isRight = answer.predicted === label;
    return (
      <div class={isRight ? 'answer right' : 'answer wrong'}>
        <span class="who">{who}</span>
        <span>
          {isRight ? '✓' : '✗'} {classes[answer.predicted] ?? answer.predicted}{' '}
          <small>{percent(answer.probability, 0)}</small>
        </span>
      </div>
    );
  }
}
