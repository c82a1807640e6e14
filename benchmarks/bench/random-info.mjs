// What the file of a model with random weights says of its images.

/**
 * @param {{ channels: number, numClasses: number }} config - of the model
 * @returns {import('mamba-prune').ModelInfo}
 */
export function randomInfo({ channels, numClasses }) {
  const mean = Array(channels).fill(0.5);
  return { dataset: 'none', classes: classNames(numClasses), mean, std: mean, history: [] };
}

/** @param {number} count */
export const classNames = (count) => Array.from({ length: count }, (_, i) => `class ${i}`);
