// One square per unit of the dense model. A canvas: a model has tens of thousands of units.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { GroupData } from '../../src/page-data/pruning.js';
import type { RunData } from '../../src/page-data/run.js';
import { usePage } from '../context.js';
import { Legend, ShowAll } from '../controls.js';
import { grouped } from '../format.js';
import { useWidth } from './chart.js';
import { type Fate, fateAfter, fates } from './fate.js';

const colours: Readonly<Record<Fate, string>> = {
  kept: '--kept',
  returned: '--returned',
  removedNow: '--removed',
  removedEarlier: '--gone',
};

export function UnitsMap({ run, round }: { readonly run: RunData; readonly round: number }) {
  const { t } = usePage();
  const [isOpen, setOpen] = useState(false);
  const groups = (run.pruning?.groups ?? []).filter(({ fate }) => fate !== undefined);
  if (groups.length === 0) return null;
  const hasReturned = run.pruning?.rounds.some(({ returned }) => Object.keys(returned).length > 0);
  const hasEarlier =
    (run.pruning?.plannedRounds ?? 1) > 1 || groups.some(({ fate }) => fate?.includes('-'));
  const widest = Math.max(...groups.map(({ dense }) => dense));
  const cell = widest > 1500 ? 5 : widest < 100 ? 12 : 8;
  const shown = isOpen ? groups : groups.slice(0, 8);
  return (
    <figure class="chart wide">
      <figcaption>{t('unitsMap')}</figcaption>
      <p class="help">{t('unitsMapHelp')}</p>
      <Legend
        entries={fates
          .filter((fate) => fate !== 'returned' || hasReturned)
          .filter((fate) => fate !== 'removedEarlier' || hasEarlier)
          .map((fate) => ({ label: t(fate), colour: `var(${colours[fate]})` }))}
      />
      <div class="units">
        {shown.map((group) => (
          <Row key={group.name} group={group} run={run} round={round} cell={cell} />
        ))}
      </div>
      {groups.length > shown.length && (
        <ShowAll
          count={groups.length}
          onClick={() => {
            setOpen(true);
          }}
        />
      )}
    </figure>
  );
}

interface RowProps {
  readonly group: GroupData;
  readonly run: RunData;
  readonly round: number;
  /** Side of a square, in pixels. */
  readonly cell: number;
}

function Row({ group, run, round, cell }: RowProps) {
  const { t, theme } = usePage();
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [pointed, point] = useState<number>();
  const width = useWidth(holder);
  const returned = new Set(run.pruning?.rounds[round - 1]?.returned[group.name]);
  const units = Array.from(group.fate ?? '', (fate, unit) =>
    fateAfter(fate, round, returned.has(unit)),
  );
  const left = units.filter((fate) => fate === 'kept' || fate === 'returned').length;
  const text = t('ofUnits', { kept: grouped(left), total: grouped(units.length) });
  const columns = Math.max(1, Math.floor(width / cell));

  useLayoutEffect(() => {
    if (!canvas.current || width === 0) return undefined;
    const element = canvas.current;
    const paint = (): void => {
      drawUnits(element, units, { cell, columns });
    };
    paint();
    // The system may turn dark while the page is open, and paper is light.
    const media = ['(prefers-color-scheme: dark)', 'print'].map((query) => matchMedia(query));
    for (const each of media) each.addEventListener('change', paint);
    return () => {
      for (const each of media) each.removeEventListener('change', paint);
    };
  }, [width, round, run, theme]);

  return (
    <div class="units-row">
      <div class="units-name">
        <b>{group.name}</b> <span>{text}</span>
        {pointed !== undefined && (
          <span class="pointed">
            {t('unit', { unit: pointed, fate: t(units[pointed] ?? 'removedEarlier') })}
          </span>
        )}
      </div>
      <div ref={holder}>
        <canvas
          ref={canvas}
          role="img"
          aria-label={t('labelled', { name: group.name, value: text })}
          onMouseMove={(event) => {
            const unit =
              Math.floor(event.offsetY / cell) * columns + Math.floor(event.offsetX / cell);
            point(unit < units.length && event.offsetX < columns * cell ? unit : undefined);
          }}
          onMouseLeave={() => {
            point(undefined);
          }}
        />
      </div>
    </div>
  );
}

function drawUnits(
  canvas: HTMLCanvasElement,
  units: readonly Fate[],
  { cell, columns }: { readonly cell: number; readonly columns: number },
): void {
  const style = getComputedStyle(canvas);
  const paints = new Map(fates.map((fate) => [fate, style.getPropertyValue(colours[fate])]));
  const scale = devicePixelRatio;
  const [width, height] = [columns * cell, Math.ceil(units.length / columns) * cell];
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(scale, scale);
  const gap = cell > 6 ? 1.5 : 1;
  units.forEach((fate, unit) => {
    context.fillStyle = paints.get(fate) ?? '';
    const [x, y] = [(unit % columns) * cell, Math.floor(unit / columns) * cell];
    context.fillRect(x, y, cell - gap, cell - gap);
  });
}
