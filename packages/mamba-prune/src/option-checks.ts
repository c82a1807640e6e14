/** Options by name, as they come from JavaScript: what would be passed over in silence is refused. */
import { type OptionKind, type OptionKinds, checkOptions as check } from '@mamba-prune/libtorch';
import { UsageError } from './errors.js';

export type { OptionKinds };

/** As libtorch's, with the error that this package throws. @throws UsageError naming the option and the known ones */
export function checkOptions(
  where: string,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
): void {
  check(where, options, known, (message) => new UsageError(message));
}

/** `checkOptions` where there must be some. */
export function requireOptions(
  where: string,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
): void {
  // null is described as what it is.
  checkOptions(where, options === undefined ? null : options, known);
}
