// Whether a model here computes as the modules of a pickled one did, in what no tensor tells and no option says.
import { FormatError } from '@mamba-prune/libtorch';
import { familyNamed } from '../families.js';
import type { ImageModel } from '../image-model.js';
import type { ImportOptions } from './model.js';
import { layerProblem } from './module-layers.js';
import { classOf } from './module-place.js';
import type { ModuleWords } from './module-words.js';
import { batchNormEps } from './plain-classifier.js';
import { printableLine } from '../../printable.js';
import { written } from './written.js';

/**
 * Before a model is made: what is assumed elsewhere would be wrong.
 * @param modules - undefined for what is no pickled module
 * @param said - what the caller says goes before what the file says
 * @throws FormatError for attentions that differ both in the number of their heads and in their width
 */
export function checkHeads(
  path: string,
  modules: ModuleWords | undefined,
  { heads, headDim }: ImportOptions,
): void {
  const differing = modules?.attention?.differing;
  if (differing === undefined || heads !== undefined || headDim !== undefined) return;
  throw new FormatError(
    `${path}: got attentions with ${printableLine(differing)}, as the file says, expected heads of one number or of one width. ` +
      'If all are the same, give `heads` or `headDim`.',
  );
}

/**
 * As `checkHeads`, for layers, norms, poolings and the functions between layers.
 * @param origins - as for `layerProblem`
 * @throws FormatError naming the first module that computes otherwise
 */
export function checkModules(
  path: string,
  model: ImageModel,
  modules: ModuleWords | undefined,
  said: ImportOptions,
  origins: ReadonlyMap<string, string>,
): void {
  if (modules === undefined) return;
  const { title, layout } = familyNamed(model.config);
  const fail = (got: string, at: string, expected: string): never => {
    throw new FormatError(
      `${path}: got a ${title} with ${got} (${printableLine(at)}), as the file says, expected ${expected}: no architecture here has another.`,
    );
  };
  const between = modules.between.find(
    (placed) => layout?.isIdleBehind?.(placed, model.config) !== true,
  );
  if (between !== undefined) {
    throw new FormatError(
      `${path}: got a ${title} with a module of the class ${printableLine(classOf(between.module))} (${printableLine(between.at)}), which runs, or may run, ` +
        'between it and its classifier, as the file says, expected none: no architecture here has it. Where the forward pass does not use it, ' +
        'delete it from the model and save that again.',
    );
  }
  const own = epsOf(model);
  const norm = modules.norms.find(({ value }) => !own.has(value));
  if (norm !== undefined && own.size > 0 && said.eps === undefined) {
    const expected = [...own].map(written).join(' or ');
    fail(
      `a norm that adds ${written(norm.value)} to the variance`,
      norm.at,
      `${expected} in every norm`,
    );
  }
  const batchNorm = modules.batchNorms.find(({ value }) => value !== batchNormEps);
  if (batchNorm !== undefined) {
    fail(
      `a norm that adds ${written(batchNorm.value)} to the variance`,
      batchNorm.at,
      `${written(batchNormEps)} beside the classifier`,
    );
  }
  const usual = layout?.card?.activation;
  const activation = modules.activations.find(({ value }) => value !== usual);
  if (usual !== undefined && activation !== undefined && said.activation === undefined) {
    fail(`neurons that compute ${printableLine(activation.value)}`, activation.at, usual);
  }
  const problem =
    layerProblem(model, modules, origins) ?? layout?.functions?.(modules, model.config);
  if (problem !== undefined) fail(problem.got, problem.at, problem.expected);
}

/** What the norms of a model here add to the variance. */
function epsOf(model: ImageModel): ReadonlySet<number> {
  const values = Array.from(model.namedModules().values(), (module) =>
    'eps' in module ? module.eps : undefined,
  );
  return new Set(values.filter((value) => typeof value === 'number'));
}
