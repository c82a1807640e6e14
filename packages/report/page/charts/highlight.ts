// One run among many: what belongs to the run, or the method, that is pointed at or has the keyboard's focus stands out, and all
// other marks fade. No redrawing: a hundred runs would make the pointer lag.
import { useEffect } from 'preact/hooks';
import type { RunData } from '../../src/page-data/run.js';

/** What a mark is called in a plot, as Plot passes on nothing else; `named` makes it data attributes. */
export const markOf = ({ id, method }: Pick<RunData, 'id' | 'method'>): string =>
  `run:${method}:${id}`;

/** Names the marks of a plot that has just been drawn. */
export function named(picture: Element): void {
  for (const mark of picture.querySelectorAll<SVGElement>('[aria-label^="run:"]')) {
    const [, method = '', ...id] = (mark.getAttribute('aria-label') ?? '').split(':');
    mark.removeAttribute('aria-label');
    mark.dataset['method'] = method;
    mark.dataset['run'] = id.join(':');
  }
  show(picture);
}

interface Pointed {
  readonly run?: string | undefined;
  readonly method?: string | undefined;
}

let pointed: Pointed = {};

/** Follows pointer and focus on everything that has `data-run` or `data-method`. */
export function useHighlight(): void {
  useEffect(() => {
    const follow = ({ type, target }: Event): void => {
      const entry =
        target instanceof Element
          ? target.closest<HTMLElement | SVGElement>('[data-run], [data-method]')
          : null;
      const isEntering = type === 'pointerover' || type === 'focusin';
      const { run, method } = entry?.dataset ?? {};
      const next = isEntering ? { run, method: run === undefined ? method : undefined } : {};
      if (next.run === pointed.run && next.method === pointed.method) return;
      pointed = next;
      show(document);
    };
    const events = ['pointerover', 'pointerout', 'focusin', 'focusout'];
    for (const event of events) document.addEventListener(event, follow);
    return () => {
      for (const event of events) document.removeEventListener(event, follow);
    };
  }, []);
}

function show(root: ParentNode): void {
  const isAny = pointed.run !== undefined || pointed.method !== undefined;
  for (const mark of root.querySelectorAll<SVGElement>('.plot [data-run], svg [data-run]')) {
    const { run, method } = mark.dataset;
    const isOne = pointed.run === undefined ? method === pointed.method : run === pointed.run;
    mark.classList.toggle('pointed', isAny && isOne);
    mark.classList.toggle('faded', isAny && !isOne);
  }
}
