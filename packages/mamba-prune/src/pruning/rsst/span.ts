/** Which part of a training is regularised, and how far it is there. */
import { UsageError } from '../../errors.js';
import type { StepNumbers } from '../../training/step-context.js';

export interface RsstSpan {
  /** Epochs over which the strength grows, of a training that goes on after them. By default all of its epochs. */
  readonly epochs?: number | undefined;
  /** Epochs of that training before them. Default `0`. */
  readonly epochsBefore?: number | undefined;
}

/** @throws UsageError for numbers out of range */
export function checkSpan({ epochs, epochsBefore }: RsstSpan): void {
  if (epochs !== undefined && !(epochs > 0 && epochs < Infinity)) {
    throw new UsageError(`rsst: epochs: got ${epochs}, expected a number above 0`);
  }
  if (epochsBefore === undefined) return;
  if (epochs === undefined) {
    throw new UsageError(
      `rsst: epochsBefore: got ${epochsBefore} without epochs, expected both: how many epochs are regularised after them`,
    );
  }
  if (!(epochsBefore >= 0 && epochsBefore < Infinity)) {
    throw new UsageError(
      `rsst: epochsBefore: got ${epochsBefore}, expected a number of at least 0`,
    );
  }
}

/** Share of the part that is over, 0 to 1. @param progress - epochs of the training that are done, with fractions */
function shareOf({ epochs = NaN, epochsBefore = 0 }: RsstSpan, progress: number): number {
  return Math.max(0, Math.min((progress - epochsBefore) / epochs, 1));
}

/** Just before a step. */
export const shareBefore = (span: RsstSpan, { step, totalSteps, progress }: StepNumbers): number =>
  span.epochs === undefined ? step / totalSteps : shareOf(span, progress);

/** Just after it: 1 after the last step of the part. */
export const shareAfter = (
  span: RsstSpan,
  { step, totalSteps, stepsPerEpoch }: StepNumbers,
): number =>
  span.epochs === undefined ? (step + 1) / totalSteps : shareOf(span, (step + 1) / stepsPerEpoch);

/** After an epoch, counted from 1, of a training of `epochs` epochs. */
export const shareAtEpoch = (span: RsstSpan, epoch: number, epochs: number): number =>
  shareOf({ ...span, epochs: span.epochs ?? epochs }, epoch);
