// The picture of a comparison, as SVG and PNG. vega draws it, and needs neither a browser nor a canvas.
import { provideChartFont } from './chart-font.js';
import { type ChartPoint, type ChartText, chartSpec } from './chart-spec.js';

/** @returns the text of an SVG file with a light background */
export async function drawChart(points: readonly ChartPoint[], text: ChartText): Promise<string> {
  const { View, parse } = await import('vega');
  const view = new View(parse(chartSpec(points, text)), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** @param svg - from `drawChart`; @returns a PNG of twice its size, for sharp text on every screen */
export async function chartToPng(svg: string): Promise<Buffer> {
  provideChartFont();
  const { default: sharp } = await import('sharp');
  // At a density of 72 one unit of the SVG is one pixel.
  return sharp(Buffer.from(svg), { density: 144 }).png().toBuffer();
}
