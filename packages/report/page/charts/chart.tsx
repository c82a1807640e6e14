// A picture drawn by Observable Plot, as wide as there is room, with its numbers as a table.
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { usePage } from '../context.js';
import { declutter } from './declutter.js';
import { named } from './highlight.js';
import { forgetWidths } from './text-width.js';

export interface TableData {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

interface ChartProps {
  readonly title: string;
  /** What a screen reader says in place of the picture. */
  readonly summary: string;
  /** Draws the picture, `width` pixels wide. */
  readonly draw: (width: number) => Element;
  readonly table?: TableData | undefined;
  /** Stands between title and picture: legends, choices. */
  readonly children?: ComponentChildren;
  readonly wide?: boolean;
}

export function Chart({ title, summary, draw, table, children, wide = false }: ChartProps) {
  const { t } = usePage();
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder);
  useFonts();
  useLayoutEffect(() => {
    if (width === 0 || !holder.current) return;
    const picture = draw(width);
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', t('titled', { title, text: summary }));
    // Its texts are in the label and in the table; one by one they are noise.
    for (const part of picture.children) part.setAttribute('aria-hidden', 'true');
    named(picture);
    holder.current.replaceChildren(picture);
    declutter(picture);
  });
  return (
    <figure class={wide ? 'chart wide' : 'chart'}>
      <figcaption>{title}</figcaption>
      {children}
      <div class="plot" ref={holder} />
      {table && (
        <details class="numbers">
          <summary>{t('asTable')}</summary>
          <NumberTable caption={title} {...table} />
        </details>
      )}
    </figure>
  );
}

export function NumberTable({ caption, columns, rows }: TableData & { readonly caption: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Draws again when the fonts are there: names are placed by their width. */
function useFonts(): void {
  const [, setReady] = useState(false);
  useEffect(() => {
    void document.fonts.ready.then(() => {
      forgetWidths();
      setReady(true);
    });
  }, []);
}

/** Of an element, in whole pixels; 0 before it is known. */
export function useWidth(element: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element.current) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      setWidth(Math.floor(entry?.contentRect.width ?? 0));
    });
    observer.observe(element.current);
    return () => {
      observer.disconnect();
    };
  }, []);
  return width;
}
