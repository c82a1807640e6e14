/** A model on the plane of cost (less is better) and accuracy (more is better). */
export interface Rated {
  readonly cost: number;
  readonly accuracy: number;
}

/**
 * The models that no other one beats: none is as cheap or cheaper and more accurate, or as accurate
 * and cheaper. From the cheapest to the dearest, so that accuracy grows along the way. Of equal ones
 * the first stands for all.
 */
export function paretoFront<T extends Rated>(models: readonly T[]): T[] {
  const sorted = [...models].sort((a, b) => a.cost - b.cost || b.accuracy - a.accuracy);
  const front: T[] = [];
  for (const model of sorted) {
    const best = front.at(-1);
    if (!best || model.accuracy > best.accuracy) front.push(model);
  }
  return front;
}

/**
 * The Pareto front of each data set, in the order of their first models: accuracies on different images do not compare.
 */
export function paretoFronts<T extends Rated & { readonly data: string }>(
  models: readonly T[],
): T[][] {
  const sets = [...new Set(models.map(({ data }) => data))];
  return sets.map((set) => paretoFront(models.filter(({ data }) => data === set)));
}
