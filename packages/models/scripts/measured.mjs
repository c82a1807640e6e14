// What a model's file says of its accuracy: what was measured of the weights in it, as its card and the index say.

/**
 * A run measures its weights before they are rounded for the file, and in the precision that it trains in. Where the
 * history kept that, what is exported from the file would contradict the card.
 *
 * @param measured.accuracy - of the weights of the file
 * @param measured.before - of the model that the first cut found, where the pruning measured it
 */
export function setMeasured(history, { accuracy, before }) {
  const firstCut = history.findIndex(({ step }) => step === 'prune');
  return history.map((step, i) => {
    if (step.accuracy === undefined || step.accuracy === null) return step;
    if (i === history.length - 1) return { ...step, accuracy };
    return i === firstCut - 1 && before != null ? { ...step, accuracy: before } : step;
  });
}
