// What pruning brought: the run in focus against its dense model, and all runs as a table.
import type { RunData } from '../../src/data/types.js';
import { usePage } from '../context.js';
import { Section } from '../controls.js';
import { bytes, count, digits, milliseconds, percent, points } from '../format.js';
import { latencyOf } from '../latency.js';
import { rateText } from '../words.js';

export function Overview() {
  const { data, focus, t } = usePage();
  const dense = data.runs.find(({ id }) => id === focus?.source);
  return (
    <Section id="overview" title={t('overview')} help={t('overviewHelp')}>
      {focus && <Tiles run={focus} dense={dense} />}
      <RunTable />
    </Section>
  );
}

function Tiles({ run, dense }: { readonly run: RunData; readonly dense: RunData | undefined }) {
  const { data, t } = usePage();
  const { size, accuracy } = run;
  const denseSize = dense?.size ?? run.sizeBefore;
  const denseAccuracy = dense?.accuracy ?? run.accuracyBefore;
  const [slow, fast] = [dense && latencyOf(data, dense.id), latencyOf(data, run.id)];
  const isPruned = run.pruning !== undefined;
  return (
    <div class="tiles">
      <Tile
        name={t('accuracy')}
        isLoss={(accuracy ?? 0) < (denseAccuracy ?? 0)}
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
  /** Whether it is one in truth. */
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

function RunTable() {
  const { data, t, focus, setFocus, colourOf } = usePage();
  const hasLatency = data.latency !== undefined;
  return (
    <div class="scroll card" tabIndex={0} role="region" aria-label={t('allRuns')}>
      <table class="runs">
        <thead>
          <tr>
            <th scope="col">{t('run')}</th>
            <th scope="col">{t('method')}</th>
            <th scope="col">{t('removed')}</th>
            <th scope="col">{t('accuracy')}</th>
            <th scope="col">{t('parameters')}</th>
            <th scope="col">{t('macs')}</th>
            <th scope="col">{t('fileSize')}</th>
            {hasLatency && <th scope="col">{t('latency')}</th>}
            <th scope="col">{t('state')}</th>
          </tr>
        </thead>
        <tbody>
          {data.runs.map((run) => (
            <tr key={run.id} class={run.id === focus?.id ? 'focus' : ''}>
              <th scope="row">
                <button
                  type="button"
                  class="run"
                  aria-pressed={run.id === focus?.id}
                  onClick={() => {
                    setFocus(run.id);
                  }}
                >
                  <i class="dot" style={{ '--colour': colourOf(run) }} />
                  {run.id}
                </button>
              </th>
              <td>{t(run.method)}</td>
              <td>{rateText(run)}</td>
              <td>{percent(run.accuracy)}</td>
              <td>{run.size ? count(run.size.parameters) : '–'}</td>
              <td>{run.size ? count(run.size.macs) : '–'}</td>
              <td>{bytes(run.size?.bytes)}</td>
              {hasLatency && <td>{latencyText(run.id)}</td>}
              <td>
                <span class={`state ${run.state}`}>{t(run.state)}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

  function latencyText(id: string): string {
    const found = latencyOf(data, id);
    return found ? milliseconds(found.medianMs) : '–';
  }
}
