// What has become of a unit of the dense model.
import type { TextKey } from '../i18n/index.js';

export const fates = [
  'kept',
  'returned',
  'removedNow',
  'removedEarlier',
] as const satisfies TextKey[];
export type Fate = (typeof fates)[number];

/**
 * @param fate - a character of `GroupData.fate`
 * @param round - that is shown; 0 is before the first
 * @param isReturned - whether refill gave the unit back in it
 */
export function fateAfter(fate: string, round: number, isReturned: boolean): Fate {
  if (fate === '-') return 'removedEarlier';
  const cut = fate.charCodeAt(0) - 48;
  if (cut === 0 || cut > round) return isReturned ? 'returned' : 'kept';
  return cut === round ? 'removedNow' : 'removedEarlier';
}
