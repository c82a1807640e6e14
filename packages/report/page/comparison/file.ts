// The picture of a comparison as a file, drawn without a browser. `scripts/build-page.mjs` bundles this for Node.js, with all that it
// needs.
import { DOMParser } from 'linkedom';
import type { PictureHeading, PicturedComparison } from '../../src/page-data/comparison.js';
import { guessedWidth } from '../charts/guessed-width.js';
import { lightColours } from '../colours.js';
import { translator } from '../i18n/index.js';
import { drawComparison } from './picture.js';

const size = { width: 772, plotHeight: 380 };
/** White all around the picture, in pixels. */
const border = 24;
/** Viewers that lack the first take the next one. */
const fonts =
  "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

/** @returns the text of an SVG file with a light ground */
export function comparisonSvg(compared: PicturedComparison, heading: PictureHeading): string {
  const document = new DOMParser().parseFromString(
    '<svg xmlns="http://www.w3.org/2000/svg"/>',
    'image/svg+xml',
  ) as unknown as Document;
  const picture = drawComparison(compared, {
    ...size,
    document,
    heading,
    t: translator('en'),
    measure: guessedWidth,
  });
  const [width, height] = ['width', 'height'].map(
    (side) => Number(picture.getAttribute(side)) + 2 * border,
  );
  picture.setAttribute('x', String(border));
  picture.setAttribute('y', String(border));
  // Plot's rules for pages are none for a file, and no renderer but a browser knows variables and currentColor.
  picture.querySelector('style')?.remove();
  picture.removeAttribute('style');
  picture.removeAttribute('class');
  picture.setAttribute('font-family', fonts);
  picture.setAttribute('font-size', '12');
  picture.setAttribute('fill', lightColours['--soft']);
  const drawn = picture.outerHTML.replace(
    /var\((--[\w-]+)\)/g,
    (whole, name: string) => (lightColours as Readonly<Record<string, string>>)[name] ?? whole,
  );
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">` +
    `<rect width="${width}" height="${height}" fill="white"/>${drawn}</svg>\n`
  );
}
