// What one training through its cuts (`lrThrough`) can be told besides: when it cuts, and how often. Loads no native code.
import { UsageError } from '../../errors.js';
import { plural } from '../../format.js';
import { checksOf } from '../../checks.js';
import type { RegApplication, RegUnits } from '../../pruning/rsst/choices.js';

const { integer } = checksOf('prune');

export interface ThroughSettings {
  /**
   * Cuts at the end of the first regularised epoch after which all doomed units are zero, and leaves the regularised
   * epochs that remain to the smaller model, within the same schedule. For `proximal` doomed units under lr-through.
   * Default `false`.
   */
  readonly cutAtZero?: boolean;
  /**
   * Divides the regularised epochs and the doomed units into so many portions: in each, units are chosen anew, driven
   * to zero and cut, and the training goes on. After portion j of N a share of 1 - (1 - rate)^(j/N) is gone. Each cut
   * is a round of the record. For doomed units under lr-through, in place of several rounds. Default `1`.
   */
  readonly cuts?: number;
}

/** Whether there are several cuts within one training. */
export const hasCuts = (
  rsst: ThroughSettings | undefined,
): rsst is ThroughSettings & { readonly cuts: number } => (rsst?.cuts ?? 1) > 1;

/** What decides whether they go together. */
interface Others {
  readonly units: RegUnits;
  readonly apply: RegApplication;
  readonly lrThrough: boolean;
  /** Regularised ones. */
  readonly epochs: number;
  readonly rechoose: number | null;
  readonly rounds: number;
}

/**
 * Only those that are asked for, so that settings without them stay what they were.
 * @throws UsageError naming the setting
 */
export function resolveThrough(
  { cutAtZero = false, cuts = 1 }: ThroughSettings,
  others: Others,
): ThroughSettings {
  if (cutAtZero) checkCutAtZero(others);
  if (integer('cuts', cuts, { min: 1 }) > 1) checkCuts(cuts, others);
  return { ...(cutAtZero && { cutAtZero }), ...(cuts > 1 && { cuts }) };
}

function checkCutAtZero({ units, apply, lrThrough }: Others): void {
  if (!lrThrough) {
    throw new UsageError(
      'prune: got `cutAtZero` without `lrThrough`, expected both: the epochs that are left then belong to the ' +
        'training after the cut. Add `lrThrough`, or leave `cutAtZero` out.',
    );
  }
  if (units === 'doomed' && apply === 'proximal') return;
  throw new UsageError(
    `prune: got \`cutAtZero\` with \`rsst.units\` ${units} and \`rsst.apply\` ${apply}, expected doomed and proximal: others ` +
      'are not at zero before the last epoch. Leave `cutAtZero` out.',
  );
}

function checkCuts(cuts: number, { units, lrThrough, epochs, rechoose, rounds }: Others): void {
  const got = `prune: got ${cuts} cuts`;
  if (!lrThrough) {
    throw new UsageError(
      `${got} without \`lrThrough\`, expected both: they are cuts within one training. Add \`lrThrough\`, or leave \`cuts\` out.`,
    );
  }
  if (units !== 'doomed') {
    throw new UsageError(
      `${got} with \`rsst.units\` ${units}, expected doomed: each portion drives the units to zero that it cuts. Regularise the doomed units.`,
    );
  }
  if (rechoose !== null) {
    throw new UsageError(
      `${got} with \`rechoose\` ${rechoose}, expected one of the two: every portion chooses its units anew. Leave \`rechoose\` out.`,
    );
  }
  // Settings that were resolved before have a round for every cut.
  if (rounds !== 1 && rounds !== cuts) {
    throw new UsageError(
      `${got} with ${rounds} rounds, expected one of the two: every cut is a round of its own. Leave \`rounds\` out.`,
    );
  }
  if (epochs < cuts) {
    throw new UsageError(
      `${got} in ${plural(epochs, 'regularised epoch')}, expected at least an epoch for each. Raise \`rsst.epochs\`, or lower \`rsst.cuts\`.`,
    );
  }
}
