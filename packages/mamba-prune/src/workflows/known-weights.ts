// What is known of downloaded weights: what the files beside them say, and for published weights, what their family does.
import { FormatError } from '@mamba-prune/libtorch';
import { besideFile } from '../hub/model-card-config.js';
import { publishedAt } from '../hub/published-at.js';
import { publishedArgument } from '../hub-names.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelCardConfig } from '../models/import/card.js';
import type { ImportOptions } from '../models/import/model.js';

/** As `besideFile`; what no file says is taken from the table of published weights, if the file is of one of these. */
export function describedCard(path: string): ModelCardConfig {
  const card = besideFile(path);
  const weights = publishedAt(path);
  if (!weights?.preparation) return card;
  const known = { arch: weights.arch, ...weights.preparation };
  const names = (['arch', 'mean', 'std', 'interpolation', 'cropShare'] as const).filter(
    (name) => card[name] === undefined,
  );
  const from = publishedArgument(weights);
  return {
    ...card,
    ...Object.fromEntries(names.map((name) => [name, known[name]])),
    from: { ...card.from, ...Object.fromEntries(names.map((name) => [name, from])) },
  };
}

/**
 * What is known of published weights holds for no other file that lies where they should.
 * @throws FormatError unless a file of published weights is of their architecture, where nobody said another one
 */
export function checkKnown(path: string, { config }: ImageModel, said: ImportOptions): void {
  const weights = publishedAt(path);
  if (!weights) return;
  const found: Readonly<Record<string, unknown>> = { ...config };
  const expected = { arch: weights.arch, ...weights.options };
  const other = Object.entries(expected).find(
    ([name, value]) => said[name as keyof ImportOptions] === undefined && found[name] !== value,
  );
  if (!other) return;
  const [name, value] = other;
  throw new FormatError(
    `${path}: got weights of \`${name}\` ${String(found[name])}, expected ${value}, as ${publishedArgument(weights)} has: ` +
      'this is not the file that was published under this name. Delete it, and it is downloaded again; ' +
      `or say \`${name}\` ${String(found[name])} if it is wanted all the same.`,
  );
}
