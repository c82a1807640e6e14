// What is known of downloaded weights: what the files beside them say, and for published weights, what their family does.
import { publishedAt } from '../hub/fetch-published.js';
import { type ModelCardConfig, besideFile } from '../hub/model-card-config.js';
import { publishedArgument } from '../hub-names.js';

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
