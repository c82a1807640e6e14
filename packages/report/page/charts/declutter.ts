// The last resort against texts on top of each other: whatever a picture is of, the later one of two goes.
import { type Box, intersects } from './place-labels.js';

/** Boxes of texts have room above and below their letters, so that a pixel on each other is none. */
const letterRoom = -1;

/** @param picture - drawn, and in the page */
export function declutter(picture: Element): void {
  const texts = [...picture.querySelectorAll<SVGTextElement>('text:not(.unplaced)')]
    .map((text) => ({ text, box: text.getBoundingClientRect() }))
    .filter(({ box }) => box.width > 0);
  const kept: Box[] = [];
  for (const { text, box } of texts) {
    if (kept.some((other) => intersects(other, box, letterRoom))) text.style.display = 'none';
    else kept.push(box);
  }
}
