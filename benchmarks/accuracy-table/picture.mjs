// Accuracy against MACs of all sets in one picture, one below the other, as `mamba-prune compare` draws each.
import { drawComparison } from '@mamba-prune/report';
import { methodResults } from 'mamba-prune/internal';
import sharp from 'sharp';
import { denseResults, setName, setsOf } from './tables.mjs';

/** @returns {Promise<string>} the text of an SVG file, which has a white ground of its own; sets without a run are left out */
export async function pictureOf(runs) {
  const parts = [];
  for (const set of setsOf(runs)) {
    const ofSet = runs.filter((run) => run.set === set);
    if (ofSet.length === 0) continue;
    const rates = [...new Set(ofSet.map(({ rate }) => rate))].filter((rate) => rate > 0);
    const methods = [...denseResults(ofSet), ...methodResults(rates, ofSet)];
    const { svg } = await drawComparison({ methods, runs: ofSet }, headingOf(set, ofSet));
    parts.push(svg.trim());
  }
  if (parts.length === 0) {
    throw new Error('accuracy-table: there is no run to draw, expected at least one summary.');
  }
  return below(parts);
}

/** What sharp needs to find letters, drawComparison has provided. At a density of 72 one unit of the SVG is one pixel. */
export const pngOf = (svg) => sharp(Buffer.from(svg), { density: 144 }).png({ palette: true, compressionLevel: 9 }).toBuffer(); // prettier-ignore

function headingOf(set, runs) {
  const copies = runs.filter(({ images }) => images !== undefined);
  const rates = [...new Set(copies.map(({ rate }) => `${Math.round(100 * rate)}%`))];
  const [first] = copies;
  const where = copies.length === runs.length ? 'The' : `At ${rates.join(' and ')} the`;
  return {
    title: `Accuracy against cost: mamba_small on ${setName(set)}`,
    lines: [
      'Means over the seeds (small dots), one standard deviation. Methods of one size are side by side.',
      ...(first ? [`${where} images are a ${first.images} of the set.`] : []),
    ],
  };
}

function below(parts) {
  const sizes = parts.map((svg) => {
    const [, width, height] = /^<svg [^>]*width="(\d+)" height="(\d+)"/.exec(svg);
    return { width: Number(width), height: Number(height) };
  });
  const width = Math.max(...sizes.map((size) => size.width));
  let y = 0;
  const placed = parts.map((svg, i) => {
    const moved = svg.replace('<svg ', `<svg y="${y}" `);
    y += sizes[i].height;
    return moved;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}">` +
    `${placed.join('')}</svg>\n`
  );
}
