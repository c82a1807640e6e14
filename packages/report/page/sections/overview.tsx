// What pruning brought: the run in focus against its dense model, and all runs as a table.
import { type Baseline, baselineOf } from '../../src/data/baseline.js';
import type { RunData } from '../../src/page-data/run.js';
import { usePage } from '../context.js';
import { Section } from '../controls.js';
import { bytes, count, digits, milliseconds, percent, points } from '../format.js';
import type { Translate } from '../i18n/index.js';
import { latencyOf } from '../latency.js';
import { epochsText, rateText } from '../words.js';
import { RunTable } from './run-table.js';

export function Overview() {
  const { data, focus, t } = usePage();
  const baseline = focus && baselineOf(focus, data.runs);
  return (
    <Section id="overview" title={t('overview')} help={t('overviewHelp')}>
      {focus && baseline && <Compared run={focus} baseline={baseline} />}
      {focus && <Tiles run={focus} baseline={baseline} />}
      <RunTable />
    </Section>
  );
}

/** Which runs the numbers below compare, and whether both were trained alike. */
function Compared({ run, baseline }: { readonly run: RunData; readonly baseline: Baseline }) {
  const { data, t } = usePage();
  const { epochs, isEqual, isFromStart, root } = baseline;
  const lead = run.state === 'finished' ? '' : ` ${t('comparedUnfinished', { run: run.id })}`;
  const key = isEqual
    ? epochs === 0
      ? 'comparedUntrained'
      : isFromStart
        ? 'comparedFromStart'
        : 'comparedEqual'
    : isFromStart
      ? 'comparedOther'
      : epochs === 0
        ? 'comparedUntrained'
        : 'comparedMore';
  const more = epochsText(epochs, t);
  const against = baseline.run?.id ?? t('comparedRecorded');
  const names = { run: run.id, dense: against, root: root ?? t('theSameModel'), more };
  const spread = seedsText(run, data.runs, t);
  return (
    <p class={isEqual || epochs === 0 ? 'compared' : 'compared note'}>
      <b>{t('comparedRuns', names)}</b> {t(key, names)}
      {lead}
      {!isEqual && epochs > 0 && ` ${t('comparedAdvice')}`}
      {spread !== undefined && ` ${spread}`}
    </p>
  );
}

/** What the other seeds say: of one run nobody can tell pruning from chance. */
function seedsText(run: RunData, runs: readonly RunData[], t: Translate): string | undefined {
  const differences = runs
    .filter((other) => isSibling(run, other))
    .flatMap((other) => {
      const { run: dense, isEqual } = baselineOf(other, runs) ?? { run: undefined, isEqual: false };
      const [a, b] = [other.accuracy, dense?.accuracy];
      return isEqual && a !== null && typeof b === 'number' ? [a - b] : [];
    });
  if (differences.length < 2) return undefined;
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  return t('comparedSeeds', {
    seeds: differences.length,
    mean: points(mean),
    least: points(Math.min(...differences)),
    most: points(Math.max(...differences)),
  });
}

/** The same pruning with whatever seed. */
const isSibling = (a: RunData, b: RunData): boolean =>
  a.method === b.method &&
  a.arch === b.arch &&
  b.state === 'finished' &&
  a.pruning?.plannedRounds === b.pruning?.plannedRounds &&
  rateText(a) === rateText(b) &&
  a.training.epochs === b.training.epochs &&
  a.training.recipe === b.training.recipe &&
  (a.id === b.id || a.seed !== b.seed);

interface TilesProps {
  readonly run: RunData;
  readonly baseline: Baseline | undefined;
}

function Tiles({ run, baseline }: TilesProps) {
  const { data, t } = usePage();
  const { size, accuracy } = run;
  const dense = baseline?.run;
  const denseSize = dense?.size ?? run.sizeBefore;
  const denseAccuracy = dense?.accuracy ?? run.accuracyBefore;
  const [slow, fast] = [dense && latencyOf(data, dense.id), latencyOf(data, run.id)];
  const isPruned = baseline !== undefined;
  return (
    <div class="tiles">
      <Tile
        name={t('accuracy')}
        isLoss={baseline?.isEqual !== true || (accuracy ?? 0) < (denseAccuracy ?? 0)}
        value={percent(accuracy)}
        before={isPruned ? percent(denseAccuracy) : undefined}
        gain={
          isPruned && accuracy !== null && denseAccuracy !== null
            ? t('points', { value: points(accuracy - denseAccuracy) })
            : undefined
        }
      />
      <Tile
        name={t('parameters')}
        value={size ? count(size.parameters) : '–'}
        before={isPruned && denseSize ? count(denseSize.parameters) : undefined}
        gain={isPruned ? ratio('fewer', denseSize?.parameters, size?.parameters) : undefined}
      />
      <Tile
        name={t('macs')}
        value={size ? count(size.macs) : '–'}
        before={isPruned && denseSize ? count(denseSize.macs) : undefined}
        gain={isPruned ? ratio('fewer', denseSize?.macs, size?.macs) : undefined}
      />
      <Tile
        name={t('fileSize')}
        value={bytes(size?.bytes)}
        before={isPruned && denseSize?.bytes ? bytes(denseSize.bytes) : undefined}
        gain={isPruned ? ratio('smaller', denseSize?.bytes, size?.bytes) : undefined}
      />
      {fast && (
        <Tile
          name={t('latencyAt', { batch: fast.batch })}
          value={milliseconds(fast.medianMs)}
          before={slow && milliseconds(slow.medianMs)}
          gain={ratio('faster', slow?.medianMs, fast.medianMs)}
          isLoss={(slow?.medianMs ?? Infinity) < fast.medianMs}
        />
      )}
    </div>
  );

  function ratio(
    key: 'fewer' | 'smaller' | 'faster',
    before: number | null | undefined,
    after: number | null | undefined,
  ): string | undefined {
    if (!before || !after) return undefined;
    return before === after ? t('same') : t(key, { value: digits(before / after) });
  }
}

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly before: string | undefined;
  readonly gain: string | undefined;
  /** Whether it is none in truth, or nobody can tell. */
  readonly isLoss?: boolean;
}

function Tile({ name, value, before, gain, isLoss = false }: TileProps) {
  return (
    <div class="tile">
      <div class="name">{name}</div>
      <div class="value">
        {before !== undefined && (
          <span>
            {before}
            <span aria-hidden="true"> →</span>
          </span>
        )}
        <b>{value}</b>
      </div>
      {gain !== undefined && <div class={isLoss ? 'gain loss' : 'gain'}>{gain}</div>}
    </div>
  );
}
