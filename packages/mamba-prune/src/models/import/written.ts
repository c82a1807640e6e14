// Values of configurations, for messages.

/** A small number as configurations have it, 1e-6 and not 0.000001. */
export const written = (value: unknown): string =>
  typeof value === 'number' && value > 0 && value < 1e-3 ? value.toExponential() : String(value);
