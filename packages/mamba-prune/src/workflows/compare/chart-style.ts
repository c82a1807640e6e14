// Colours, shapes and sizes of the picture of a comparison.

interface Style {
  readonly label: string;
  readonly colour: string;
  /** Tells methods apart without colours. */
  readonly shape: string;
}

/** Colours that colour-blind people can tell apart (Okabe and Ito 2008); baselines in greys. */
export const chartStyles: Readonly<Record<string, Style>> = {
  dense: { label: 'dense', colour: '#3e4c59', shape: 'square' },
  oneshot: { label: 'one-shot', colour: '#6b7a8c', shape: 'triangle-up' },
  refill: { label: 'Refill', colour: '#0072b2', shape: 'circle' },
  rsst: { label: 'RSST', colour: '#d55e00', shape: 'diamond' },
};

export const ink = { dark: '#1f2933', soft: '#616e7c', grid: '#e4e9ee', band: '#f3f6f9' };
export const plot = { width: 680, height: 380 };
