// What the flags of compare ask for.
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { defaultImportance } from '../../pruning/importances.js';
import { rsstDefaults } from '../../pruning/rsst/choices.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import { presetInterpolation } from '../../training/presets.js';
import type { CompareBudget } from '../../workflows/compare/budget.js';
import type { CompareRequest } from '../../workflows/compare/compare.js';
import { usualMethods } from '../../workflows/compare/methods.js';
import { isRun } from '../../workflows/model-path.js';
import { overEpochs } from '../../workflows/over-epochs.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import type { Context } from '../context.js';
import { partsOf } from './compare-parts.js';
import { type CompareFlags, type CompareOptions, compareDefaults } from './compare.js';
import { compensateOf } from './compensation.js';
import { flagOf } from './flag-name.js';
import { classNames } from './import.js';
import { methodFlags } from './method-flags.js';
import { typedModelOptions } from './model.js';
import { checkCutFlags } from './pruning-checks.js';
import { targetKinds } from './rates.js';
import { type RecipeOptions, checkMomentum, recipeOf, typedRecipe } from './recipe.js';

/** @throws UsageError for sizes that are given twice */
function sizesOf({
  rate,
  targetMacs,
  targetParams,
  targetFile,
}: CompareFlags): Partial<Pick<CompareRequest, 'rates' | 'budget' | 'amounts'>> {
  const typed = Object.entries(
    defined({ macs: targetMacs, params: targetParams, file: targetFile }),
  ) as [CompareBudget, readonly Amount[]][];
  const [first, second] = typed;
  if (first === undefined) return defined({ rates: rate });
  const other = second ? `--target-${second[0]}` : rate && '--rate';
  if (other !== undefined) {
    throw new UsageError(
      `got --target-${first[0]} and ${other}, expected one of the two: methods are compared at sizes of one kind. ` +
        'Leave one of them out.',
    );
  }
  return { budget: first[0], amounts: first[1] };
}

export async function requestOf({
  options,
  given,
}: Pick<Context<CompareOptions>, 'options' | 'given'>): Promise<CompareRequest> {
  const { quickComparison } = await import('../../workflows/compare/quick.js');
  const quick = given.quick === true ? quickComparison : undefined;
  const { data, imageSize, cropShare, cachedSize, target, threads } = given;
  const { budget, amounts, rates } = sizesOf(given);
  const dataset = given.dataset ?? quick?.train.dataset;
  if (dataset === undefined) {
    throw new UsageError(
      '--dataset is missing, expected a name such as fashion-mnist or cifar10, or --quick.',
    );
  }
  const { train, finetune } = recipesOf(given, dataset, quick);
  const interpolation = given.interpolation ?? (await interpolationOf(given, dataset));
  // What --quick stands for was measured with its own; otherwise the inputs decide.
  const { importance = quick?.cut.importance, ranking = 'global', normalize = 'mean' } = given;
  const { roundTo = 1, maxRate = 1, minWidth, rankBy, score, scoreBatches, bnBatches } = given;
  const { regUnits: units = 'doomed', regNorm: norm = 'group', regApply } = given;
  const { apply, strength } = rsstDefaults(units === 'doomed', norm, regApply);
  const { dense, classes } = given;
  if (dense) checkDenseFlags(given);
  const seeds = given.seeds ?? quick?.seeds.length ?? compareDefaults.seeds;
  const request: CompareRequest = {
    train: {
      ...defined({ data, imageSize, interpolation, cropShare, cachedSize }),
      dataset,
      arch: given.arch ?? quick?.train.arch ?? compareDefaults.arch,
      model: { ...quick?.train.model, ...typedModelOptions(given) },
      recipe: train,
    },
    finetune,
    seeds: Array.from({ length: seeds }, (_, i) => options.seed + i),
    ...(amounts ? { budget, amounts } : { rates: rates ?? quick?.rates ?? compareDefaults.rates }),
    targets: target === undefined || target === 'both' ? undefined : targetsOf(target),
    cut: {
      ranking,
      normalize,
      roundTo,
      maxRate,
      ...defined({ importance, score, scoreBatches, minWidth, rankBy, bnBatches }),
      ...compensateOf(given),
    },
    ...defined({ exclude: given.exclude, rateOf: given.rateOf }),
    // What works at all does not depend on the model: the preset's methods are everyone's defaults.
    refill: {
      ...quickComparison.refill,
      ...defined({ fillback: given.fillback, score: given.refillScore }),
    },
    rsst: {
      units,
      norm,
      apply,
      strength: given.regStrength ?? strength,
      ...defined({ schedule: given.regSchedule, exponent: given.exponents }),
      ...defined({ lrThrough: given.lrThrough, rechoose: given.rechoose }),
      ...defined({ cutAtZero: given.cutAtZero, cuts: given.cuts }),
      epochs: given.regEpochs ?? Math.max(1, Math.floor(finetune.epochs / 2)),
    },
    threads,
    ...defined({ dense, classes: classes === undefined ? undefined : await classNames(classes) }),
    ...partsOf(given, options.seed),
  };
  if (!(await hasBegun(given))) checkIgnored(given, request);
  return request;
}

/**
 * As `train` has it: a preset may resize the images of folders its own way. What has begun keeps the way that it began
 * with, for earlier versions took the usual one under every preset; so does a comparison after its tuning.
 */
async function interpolationOf(
  { preset, out, overwrite, tuneLr }: Partial<CompareOptions>,
  dataset: string,
): Promise<CompareRequest['train']['interpolation']> {
  if (preset === undefined) return undefined;
  const { CompareFolder } = await import('../../workflows/compare/folder.js');
  const { tuningFolder } = await import('../../workflows/compare/tuning-file.js');
  const settingsIn = (path: string, isReplaced = false) =>
    CompareFolder.settingsOf(path, { overwrite: isReplaced });
  const begun =
    out === undefined
      ? undefined
      : tuneLr
        ? settingsIn(tuningFolder(out), overwrite)
        : (settingsIn(out, overwrite) ?? settingsIn(tuningFolder(out)));
  return begun ? begun.train.interpolation : presetInterpolation(preset, dataset);
}

/** @throws UsageError for flags of the dense training that the given models have behind them */
function checkDenseFlags(given: Partial<CompareOptions>): void {
  const { arch, epochs, dense = [], methods = [] } = given;
  if (arch !== undefined || Object.keys(typedModelOptions(given)).length > 0) {
    throw new UsageError(
      'got the architecture, or options of it, with --dense, whose models have their own. Leave them out. Of a file that another program wrote ' +
        'and that does not say them, make a model file first, and give that one: mamba-prune export FILE --arch NAME --out dense.safetensors.',
    );
  }
  const prepared = (['interpolation', 'cropShare'] as const).find(
    (flag) => given[flag] !== undefined,
  );
  if (prepared !== undefined) {
    throw new UsageError(
      `got ${flagOf(prepared)} with --dense, whose models have their own way of preparing images. Leave it out.`,
    );
  }
  const areRuns = dense.every(isRun);
  if (areRuns && epochs !== undefined) {
    throw new UsageError(
      'got --epochs with runs as --dense, which tell the epochs of the dense training themselves. Leave it out.',
    );
  }
  if (!areRuns && epochs === undefined && methods.includes('scratch')) {
    throw new UsageError(
      '--epochs is missing, expected those that the dense model of --dense was trained for: scratch trains for as many, and ' +
        'those after it.',
    );
  }
}

/** What has begun goes on with the flags that it began with, also for other methods. */
async function hasBegun({ out, overwrite }: Partial<CompareOptions>): Promise<boolean> {
  if (out === undefined) return false;
  const { CompareFolder } = await import('../../workflows/compare/folder.js');
  const { tuningFolder } = await import('../../workflows/compare/tuning-file.js');
  const begun = CompareFolder.settingsOf(out, { overwrite });
  return (begun ?? CompareFolder.settingsOf(tuningFolder(out), { overwrite })) !== undefined;
}

/** @throws UsageError for a flag that would change nothing */
function checkIgnored(given: Partial<CompareOptions>, request: CompareRequest): void {
  const { methods = usualMethods, dense, finetuneEpochs } = given;
  const typedFlags: Readonly<Record<string, unknown>> = given;
  for (const [method, flags] of Object.entries(methodFlags)) {
    const typed = flags.find((flag) => typedFlags[flag] !== undefined);
    if (typed === undefined || (methods as readonly string[]).includes(method)) continue;
    throw new UsageError(
      `got ${flagOf(typed)}, which belongs to the method ${method}, but compared are ${methods.join(', ')}. Leave it out, or add ` +
        `${method} to --methods.`,
    );
  }
  const { cut, refill, rsst } = request;
  checkCutFlags(given, {
    ...cut,
    importance: cut.importance ?? defaultImportance(true, cut.score),
    refill: methods.includes('refill') ? refill : undefined,
    rsst: methods.includes('rsst') ? rsst : undefined,
  });
  if (!dense || (methods.includes('scratch') && !dense.every(isRun))) return;
  const ofDense = (['lr', 'warmupEpochs', 'epochs'] as const).find(
    (flag) =>
      given[flag] !== undefined &&
      // Half of them are those of the methods, where nothing else says these.
      (flag !== 'epochs' || finetuneEpochs !== undefined),
  );
  if (ofDense === undefined) return;
  throw new UsageError(
    `got ${flagOf(ofDense)}, which is of the training of the dense models, with --dense, whose models are trained. Leave it out` +
      `${ofDense === 'lr' ? '; --finetune-lr is that of the methods' : ''}.`,
  );
}

const targetsOf = (target: string): CompareRequest['targets'] =>
  target === 'all' ? target : targetKinds(target);

/** The seed is each run's own. */
function recipesOf(
  given: Partial<CompareOptions>,
  dataset: string,
  quick: CompareRequest | undefined,
): { train: RecipeSettings; finetune: RecipeSettings } {
  const { finetuneEpochs, finetuneLr } = given;
  const own = new Set(['epochs', 'lr', 'warmupEpochs']);
  const shared = Object.fromEntries(Object.entries(given).filter(([name]) => !own.has(name)));
  const after: RecipeOptions = {
    ...shared,
    ...defined({ epochs: finetuneEpochs, lr: finetuneLr }),
  };
  if (quick) {
    return { train: over(quick.train.recipe, given), finetune: over(quick.finetune, after) };
  }
  const train = recipeOf(given, 0, { ...compareDefaults, phase: 'train' }, dataset);
  const epochs = Math.max(2, Math.ceil(train.epochs / 2));
  const finetune = recipeOf(
    after,
    0,
    { epochs, lr: compareDefaults.finetuneLr, phase: 'finetune' },
    dataset,
  );
  return { train, finetune };
}

/** What was typed over a recipe. */
function over(recipe: RecipeSettings, typed: RecipeOptions): RecipeSettings {
  const result = { ...overEpochs(recipe, typed.epochs ?? recipe.epochs), ...typedRecipe(typed) };
  checkMomentum(typed, result);
  return result;
}
