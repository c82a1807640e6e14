/**
 * Whether a status may be another one when the same thing is asked again: too slow, too early, too many requests, and trouble of
 * the server's own.
 */
export const passes = (status: number): boolean =>
  [408, 425, 429].includes(status) || status >= 500;
