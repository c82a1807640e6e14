// Whether a model computes as the modules of the pickled one did, in what no tensor and no option could tell.
import { FormatError } from '@mamba-prune/libtorch';
import { familyNamed } from '../models/families.js';
import type { ImageModel } from '../models/image-model.js';
import type { ImportOptions } from '../models/import/model.js';
import type { ModuleWords } from '../models/import/module-words.js';
import { printableLine } from '../printable.js';
import { written } from './card-info.js';

/**
 * @param modules - undefined for what is no pickled module
 * @param said - what the caller says goes before what the file says
 * @throws FormatError naming the first module that computes otherwise
 */
export function checkModules(
  path: string,
  model: ImageModel,
  modules: ModuleWords | undefined,
  said: ImportOptions,
): void {
  if (modules === undefined) return;
  const { title, options } = familyNamed(model.config);
  const { attention, norms } = modules;
  const hasHeads = Object.hasOwn(options, 'heads');
  if (hasHeads && attention?.differing !== undefined && !saysHeads(said)) {
    throw new FormatError(
      `${path}: got a ${title} whose attentions have ${printableLine(attention.differing)}, as the file says, ` +
        'expected heads of one number or of one width. If all have the same, give `heads` or `headDim`.',
    );
  }
  const own = epsOf(model);
  const other = norms.find(({ value }) => !own.has(value));
  if (other === undefined || own.size === 0 || said.eps !== undefined) return;
  const expected = [...own].map(written).join(' or ');
  throw new FormatError(
    `${path}: got a ${title} with a norm that adds ${written(other.value)} to the variance (${printableLine(other.at)}), as the file says, ` +
      `expected ${expected}${norms.some(({ value }) => own.has(value)) ? ' in every norm, as in others of the file' : ''}: no architecture here has it.`,
  );
}

const saysHeads = ({ heads, headDim }: ImportOptions): boolean =>
  heads !== undefined || headDim !== undefined;

/** What the norms of a model here add to the variance. */
function epsOf(model: ImageModel): ReadonlySet<number> {
  const values = Array.from(model.namedModules().values(), (module) =>
    'eps' in module ? module.eps : undefined,
  );
  return new Set(values.filter((value) => typeof value === 'number'));
}
