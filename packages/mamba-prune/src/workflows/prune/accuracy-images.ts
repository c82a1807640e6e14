// How many images the accuracy before and after a cut is measured on where nothing is trained.

/** Images per batch of an evaluation: less than one batch is no faster. */
const batch = 256;
/** Multiply-accumulates of one measurement: half a minute or so on two cores, at 20 G a second. */
const budget = 6e11;

/**
 * Test images to measure a model on in about half a minute on two cores: all 10,000 for small models, one batch
 * for the largest. Counted from the model and not from the clock, so that every machine measures the
 * same images, and a resumed run those that it began with.
 * @param macs - of one image
 */
export function accuracyImages(macs: number): number {
  return batch * Math.max(1, Math.floor(budget / (batch * Math.max(1, macs))));
}
