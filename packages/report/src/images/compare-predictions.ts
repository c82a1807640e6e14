// Confusion matrices, and the images on which two models differ.
import type { DisagreementData } from '../page-data/evaluation.js';
import type { Predictions } from './classify.js';

/** Examples of each kind that a report gets. */
const perKind = 12;

/** Row by row, [true class][predicted class]. */
export function confusionOf(
  { classes }: Pick<Predictions, 'classes'>,
  labels: ArrayLike<number>,
  count: number,
): number[] {
  const matrix = new Array<number>(count * count).fill(0);
  classes.forEach((predicted, i) => {
    const cell = (labels[i] ?? 0) * count + predicted;
    matrix[cell] = (matrix[cell] ?? 0) + 1;
  });
  return matrix;
}

export type Disagreement = Omit<DisagreementData['examples'][number], 'image'>;
export type AgreementCounts = DisagreementData['counts'];

/** How often the two are right, and the images that they see differently, each kind the surest first. */
export function disagreements(
  dense: Predictions,
  pruned: Predictions,
  labels: ArrayLike<number>,
): { readonly counts: AgreementCounts; readonly examples: Disagreement[] } {
  const counts = { bothRight: 0, bothWrong: 0, onlyDense: 0, onlyPruned: 0 };
  const found: Record<keyof AgreementCounts, Disagreement[]> = {
    bothRight: [],
    bothWrong: [],
    onlyDense: [],
    onlyPruned: [],
  };
  dense.classes.forEach((first, index) => {
    const label = labels[index] ?? 0;
    const second = pruned.classes[index] ?? 0;
    const [a, b] = [first === label, second === label];
    const kind = a && b ? 'bothRight' : a ? 'onlyDense' : b ? 'onlyPruned' : 'bothWrong';
    counts[kind]++;
    if (first === second) return;
    found[kind].push({
      index,
      label,
      dense: { predicted: first, probability: dense.probabilities[index] ?? 0 },
      pruned: { predicted: second, probability: pruned.probabilities[index] ?? 0 },
    });
  });
  const sureness = (example: Disagreement): number =>
    Math.min(example.dense.probability, example.pruned.probability);
  const surest = (list: Disagreement[]): Disagreement[] =>
    list.sort((x, y) => sureness(y) - sureness(x) || x.index - y.index).slice(0, perKind);
  return {
    counts,
    examples: [...surest(found.onlyDense), ...surest(found.onlyPruned), ...surest(found.bothWrong)],
  };
}
