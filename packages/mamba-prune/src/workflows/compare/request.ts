// What a comparison is asked for, and the settings that follow from it.
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { familyOf } from '../../models/families.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { GroupPatterns } from '../../pruning/group-patterns.js';
import type { DataHooks } from '../fit.js';
import { decideThrough } from '../prune/lr-through.js';
import {
  type ImportanceInputs,
  decideImportance,
  keepImportance,
} from '../prune/importance-choice.js';
import { checkPrunings } from './check-prunings.js';
import { askedAt } from './budget.js';
import type { CompareCut } from './cut.js';
import { type Examined, divide, examine } from './examine.js';
import { type RefillRequest, decideFillback } from './fillback.js';
import { CompareFolder } from './folder.js';
import { checkPatterns, withGroupRates } from './group-rates.js';
import type { StartRun } from './processes.js';
import type { Division } from './resources.js';
import {
  type CompareRun,
  type CompareSettings,
  checkCompareSettings,
  planRuns,
} from './settings.js';
import { type SizesAsked, checkSizes, resolveSizes } from './sizes.js';
import { tuningFolder } from './tuning-file.js';

/** As `CompareSettings`, with what can be worked out left out. */
export interface CompareRequest
  extends
    GroupPatterns,
    SizesAsked,
    Omit<
      CompareSettings,
      | ('targets' | 'threads' | 'dense' | 'lrs' | 'refill')
      | ('rates' | 'budget' | 'amountsAt' | 'seedsAt')
    > {
  readonly refill: RefillRequest;
  /** Kinds of groups to cut, or all. By default those that are not optional. */
  readonly targets?: readonly string[] | 'all' | undefined;
  /** By default as many as leave a core for each run. */
  readonly threads?: number | undefined;
  /**
   * Files of dense models in place of those that would be trained: one for all seeds, or one for each in their order. A
   * file that is the result of a training run brings the recipe of that run. By default dense models are trained.
   */
  readonly dense?: readonly string[] | undefined;
}

export interface CompareControl {
  /** Folder of the comparison; one that has begun is gone on with. */
  readonly out: string;
  /** Throw away a comparison that is there. */
  readonly overwrite?: boolean | undefined;
  /** Runs at once. By default as many as cores and memory allow. */
  readonly jobs?: number | undefined;
  /** Default `cpu`. */
  readonly device?: string | undefined;
  /** Threads of each run that prepare images, beside those that it computes with. Default `0`. */
  readonly dataThreads?: number | undefined;
  /** Keeps event files for TensorBoard in the folder of every run. */
  readonly tensorboard?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The command line, for the files. */
  readonly args?: readonly string[] | undefined;
  readonly data?: DataHooks | undefined;
  /** How a run is carried out. By default a process of its own. */
  readonly start?: StartRun | undefined;
  /**
   * Names of the runs to do, such as `seed-0/refill-70`, where `*` stands for any characters; those that they need are
   * done too. By default all.
   */
  readonly only?: readonly string[] | undefined;
}

export interface ComparePlan extends Division {
  readonly settings: CompareSettings;
  /** Those that are to be done, or are done. */
  readonly runs: readonly CompareRun[];
  /** Runs that are done already. */
  readonly finished: number;
  /** Of those runs. */
  readonly finishedEpochs: number;
}

export interface CompareHooks {
  /** When everything is checked and the work begins. */
  readonly onPlan?: ((plan: ComparePlan) => void) | undefined;
  /** Epochs of all runs together, with fractions. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onRunEnd?: ((run: CompareRun, accuracy: number | null) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
}

const requestKinds: OptionKinds<CompareRequest> = {
  train: 'object',
  finetune: 'object',
  seeds: 'array',
  rates: 'array',
  budget: 'string',
  amounts: 'array',
  targets: ['array', 'string'],
  cut: 'object',
  exclude: 'array',
  rateOf: 'array',
  refill: 'object',
  rsst: 'object',
  threads: 'number',
  methods: 'array',
  lrOf: 'object',
  seedsAt: 'array',
  dense: 'array',
  classes: 'array',
  distill: 'object',
};

const neededOfRequest = ['train', 'finetune', 'seeds', 'cut', 'refill', 'rsst'] as const;

const controlKinds: OptionKinds<CompareControl> = {
  out: 'string',
  overwrite: 'boolean',
  jobs: 'number',
  device: 'string',
  dataThreads: 'number',
  tensorboard: 'boolean',
  signal: 'object',
  args: 'array',
  data: 'object',
  start: 'function',
  only: 'array',
};

/** @throws UsageError for a request or a control that is none */
export function checkRequest(request: CompareRequest, control: CompareControl): void {
  requireOptions('compare', request, requestKinds, neededOfRequest);
  requireOptions('compare: control', control, controlKinds, ['out']);
  checkSizes(request);
  checkPatterns(request);
}

/**
 * What asks for the comparison in a folder again, as it is.
 * @param changes - where data and dense models lie now
 * @throws UsageError if there is none; RunFolderError if it is damaged
 */
export function requestOfFolder(
  out: string,
  changes: { readonly data?: string | undefined; readonly dense?: readonly string[] | undefined },
): CompareRequest {
  const settings = CompareFolder.settingsOf(out);
  if (!settings || settings.lrs) {
    throw new UsageError(
      `compare: ${out} holds no comparison to go on with (it has no compare.json), expected the folder of one. ` +
        'Leave `resume` out to begin one.',
    );
  }
  const { dense, rates, amountsAt, ...rest } = settings;
  const { data } = changes;
  return {
    ...rest,
    ...(amountsAt ? { amounts: rates.map((rate) => askedAt(settings, rate)) } : { rates }),
    ...(data !== undefined && { train: { ...rest.train, data } }),
    ...(dense && { dense: changes.dense ?? dense.map(({ path }) => path) }),
  };
}

/**
 * The settings of a comparison from what is asked for and what it began with, and how its runs share the machine.
 * @param request - with today's names
 * @throws UsageError, DataError, FormatError
 */
export async function prepare(
  request: CompareRequest,
  control: CompareControl,
): Promise<{ settings: CompareSettings; division: Division }> {
  const examined = await examine(request, control.data);
  try {
    const settings = settingsOf(request, control, examined);
    checkCompareSettings(settings);
    checkPrunings(settings, examined);
    // Runs that do not wait for each other.
    const side = planRuns(settings, '').filter(({ method }) => method !== undefined).length;
    const { jobs, device = 'cpu' } = control;
    const division = divide(jobs, request.threads, examined.bytes, side, device);
    const { threads } = division;
    return { settings: { ...settings, ...defined(settings), threads }, division };
  } finally {
    examined.model.dispose();
  }
}

function settingsOf(
  { exclude, rateOf, amounts, seedsAt, ...request }: CompareRequest,
  control: CompareControl,
  { model, info, targets, train, dense }: Examined,
): CompareSettings {
  const begun = CompareFolder.settingsOf(control.out, control);
  const tuned = CompareFolder.settingsOf(tuningFolder(control.out));
  const epochs = request.finetune.epochs - request.rsst.epochs;
  const { cut } = request;
  const sizes = resolveSizes({ ...request, amounts, seedsAt }, { model, info }, begun ?? tuned);
  return {
    ...request,
    ...sizes,
    threads: 1,
    targets,
    train,
    dense,
    lrOf: begun ? over(begun.lrOf, request.lrOf) : request.lrOf,
    cut: cutOf({ cut: withGroupRates({ cut, exclude, rateOf }, model, targets), train }, begun),
    // A comparison after its tuning has what the rates were tuned with.
    refill: decideFillback(request.refill, sizes.rates, (begun ?? tuned)?.refill),
    rsst: decideThrough(request.rsst, { epochs, begun: begun?.rsst }),
  };
}

/** What is typed over what a comparison began with; whether it may differ is found where the two are compared. */
export function over(
  begun: CompareSettings['lrOf'],
  typed: CompareSettings['lrOf'],
): CompareSettings['lrOf'] {
  return begun || typed ? { ...begun, ...typed } : undefined;
}

/** With an importance: that of a comparison which is gone on with, or the default for its images. */
function cutOf(
  { cut, train }: Pick<CompareSettings, 'cut' | 'train'>,
  begun: CompareSettings | undefined,
): CompareCut {
  const { importance, importanceReason } = decideImportance<ImportanceInputs>(
    {
      ...keepImportance(cut, begun?.cut ?? {}),
      dataset: train.dataset,
    },
    familyOf(train.arch),
  );
  return { ...cut, importance, ...(importanceReason !== undefined && { importanceReason }) };
}
