// A model as a function of the library is given it, from JavaScript too.
import { nn } from '@mamba-prune/libtorch';
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';

/**
 * @param where - the function that was given it, for the error
 * @throws UsageError for anything but a model
 */
export function requireModel(where: string, model: unknown): void {
  if (model instanceof nn.Module) return;
  throw new UsageError(
    `${where}: got ${shown(model)}, expected a model, as createModel and loadModel give it.`,
  );
}

/** The same for one that can be pruned. */
export function requirePrunable(where: string, model: unknown): void {
  requireModel(where, model);
  const { pruningGroups, withWidths } = model as Readonly<Record<string, unknown>>;
  if (typeof pruningGroups === 'function' && typeof withWidths === 'function') return;
  throw new UsageError(
    `${where}: got a model without the functions pruningGroups and withWidths, expected an ImageModel.`,
  );
}
