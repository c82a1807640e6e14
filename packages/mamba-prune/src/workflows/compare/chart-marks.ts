// What stands inside the plot: bands for the sizes, lines, and the methods' results.
import type { Mark } from 'vega';
import { chartFont as font } from './chart-font.js';
import { ink, plot } from './chart-style.js';

const at = (field: string) => ({ scale: 'x', field, offset: { field: 'shift' } });

/** A band behind the models of one size, with its name on top. */
export function bands(): Mark[] {
  return [
    {
      type: 'rect',
      from: { data: 'sizes' },
      encode: {
        enter: {
          x: { signal: "scale('x', datum.x) - datum.half" },
          x2: { signal: "scale('x', datum.x) + datum.half" },
          y: { value: 0 },
          y2: { value: plot.height },
          fill: { value: ink.band },
          cornerRadius: { value: 6 },
        },
      },
    },
    {
      type: 'text',
      from: { data: 'sizes' },
      encode: {
        enter: {
          x: { scale: 'x', field: 'x' },
          y: { value: 20 },
          text: { field: 'name' },
          align: { value: 'center' },
          font: { value: font },
          fontSize: { value: 12.5 },
          fontWeight: { value: 600 },
          fill: { value: ink.dark },
        },
      },
    },
    {
      type: 'text',
      from: { data: 'sizes' },
      encode: {
        enter: {
          x: { scale: 'x', field: 'x' },
          y: { value: 36 },
          text: { field: 'cost' },
          align: { value: 'center' },
          font: { value: font },
          fontSize: { value: 11.5 },
          fill: { value: ink.soft },
        },
      },
    },
  ];
}

/** Where the dense models are, all the way to the pruned ones. */
export function denseLine(): Mark {
  return {
    type: 'rule',
    from: { data: 'dense' },
    encode: {
      enter: {
        x: { value: 0 },
        x2: { value: plot.width },
        y: { scale: 'y', field: 'y' },
        stroke: { scale: 'colour', field: 'method' },
        strokeDash: { value: [2, 4] },
        opacity: { value: 0.7 },
      },
    },
  };
}

/** Joins the sizes of a method. */
export function lines(): Mark {
  return {
    type: 'group',
    from: { facet: { name: 'series', data: 'means', groupby: 'method' } },
    marks: [
      {
        type: 'line',
        from: { data: 'series' },
        sort: { field: 'x' },
        encode: {
          enter: {
            x: at('x'),
            y: { scale: 'y', field: 'y' },
            stroke: { scale: 'colour', field: 'method' },
            strokeWidth: { value: 1.5 },
            opacity: { value: 0.5 },
          },
        },
      },
    ],
  };
}

/** Seeds as small dots, then the bar of one standard deviation, the mean, and its value. */
export function results(values: boolean): Mark[] {
  const colour = { scale: 'colour', field: 'method' };
  return [
    {
      type: 'rule',
      from: { data: 'means' },
      encode: {
        enter: {
          x: at('x'),
          y: { scale: 'y', field: 'low' },
          y2: { scale: 'y', field: 'high' },
          stroke: colour,
          strokeWidth: { value: 2.5 },
          strokeCap: { value: 'round' },
          opacity: { signal: 'datum.bar ? 0.9 : 0' },
        },
      },
    },
    {
      type: 'symbol',
      from: { data: 'seeds' },
      encode: {
        enter: {
          x: { ...at('x'), offset: { signal: 'datum.shift - 10' } },
          y: { scale: 'y', field: 'y' },
          fill: colour,
          size: { value: 22 },
          opacity: { value: 0.45 },
        },
      },
    },
    {
      type: 'symbol',
      from: { data: 'means' },
      encode: {
        enter: {
          x: at('x'),
          y: { scale: 'y', field: 'y' },
          shape: { scale: 'shape', field: 'method' },
          fill: colour,
          stroke: { value: 'white' },
          strokeWidth: { value: 1.5 },
          size: { value: 170 },
        },
      },
    },
    {
      type: 'text',
      from: { data: 'means' },
      encode: {
        enter: {
          x: at('x'),
          y: { signal: "min(scale('y', datum.top), scale('y', datum.y) - 8) - 9" },
          text: { signal: values ? "format(100 * datum.y, '.2f')" : "''" },
          align: { value: 'center' },
          font: { value: font },
          fontSize: { value: 11.5 },
          fontWeight: { value: 600 },
          fill: colour,
        },
      },
    },
  ];
}
