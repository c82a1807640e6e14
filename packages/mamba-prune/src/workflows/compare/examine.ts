// What can be found out of a comparison before any work: whether its data, sizes and kinds go together, what a run
// will take, and how many fit on this machine at once.
import type { Dataset } from '../../data/types.js';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { requireOptions } from '../../option-checks.js';
import { defaultKinds, groupsOfKinds } from '../../pruning/select-units.js';
import { type DataHooks, isAnySize, modelInfoOf, openData } from '../fit.js';
import { openAsItIs } from '../open-model-file.js';
import { type TrainSettings, trainSettingsKinds } from '../settings.js';
import { modelOptionsFor } from '../starting-model.js';
import type { CompareRequest } from './compare.js';
import { type GivenDense, checkFresh, openDense } from './given-dense.js';
import { methodsOf } from './methods.js';
import { type Division, divideMachine, thisMachine, trainingBytes } from './resources.js';

/** What a comparison is made of, before any work. */
export interface Examined {
  /** The dense model of random weights, or the first that is given; the caller's to dispose. */
  readonly model: ImageModel;
  /** Of that model. */
  readonly info: ModelInfo;
  readonly dataset: Dataset;
  /** Kinds of groups that are cut. */
  readonly targets: readonly string[];
  /** Memory that a run takes, about. */
  readonly bytes: number;
  /** With the sizes of given dense models. */
  readonly train: TrainSettings;
  readonly dense?: readonly GivenDense[];
}

/** @throws UsageError, DataError, FormatError: what is wrong with data, models, sizes and kinds */
export async function examine(
  request: CompareRequest,
  hooks: DataHooks | undefined,
): Promise<Examined> {
  const { targets, dense: paths, classes } = request;
  let { train } = request;
  if (classes && !paths) {
    throw new UsageError(
      'compare: got `classes` without `dense`, expected it with models of other programs: those that are trained here have the classes of the data. ' +
        'Leave it out.',
    );
  }
  requireOptions('compare: train', train, trainSettingsKinds, ['arch', 'dataset', 'recipe']);
  let dataset = await openData(train, hooks);
  const imageSize = await otherSize(request, dataset);
  if (imageSize !== undefined) {
    train = { ...train, imageSize };
    dataset = await openData(train, hooks);
  }
  const found = paths
    ? await openDense(paths, train, dataset, { classes, onNote: hooks?.onNote })
    : {
        train,
        model: createModel(train.arch, modelOptionsFor(train.arch, train.model, dataset)),
        info: modelInfoOf(dataset.info, []),
      };
  const { model } = found;
  try {
    if (paths && methodsOf(request).includes('scratch')) {
      checkFresh(model.config);
    }
    const all = new Set(model.pruningGroups().map(({ kind }) => kind));
    const kinds = targets === 'all' ? [...all] : (targets ?? defaultKinds(model));
    groupsOfKinds(model, kinds);
    const { batchSize = 128 } = train.recipe;
    const bytes = trainingBytes(model, batchSize, bytesOf(dataset));
    return { ...found, dataset, targets: kinds, bytes };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/**
 * The size that images of any size get where nobody says one: that of the given dense models.
 * @returns undefined if it is the one that they have
 */
async function otherSize(
  { train, dense, classes }: CompareRequest,
  { info }: Dataset,
): Promise<number | undefined> {
  const [path] = dense ?? [];
  if (path === undefined || train.imageSize !== undefined || !isAnySize(train.dataset))
    return undefined;
  const { model } = await openAsItIs(path, defined({ classes }));
  const { imageSize } = model.config;
  model.dispose();
  return imageSize === info.height ? undefined : imageSize;
}

/** What stays in memory; images of files are read, and prepared, when they are needed. */
function bytesOf(dataset: Dataset): number {
  if ('prepared' in dataset) return 0;
  const { info, train, test } = dataset;
  return (train.length + test.length) * info.channels * info.height * info.width;
}

/** @param runs - that could go on side by side */
export function divide(
  jobs: number | undefined,
  threads: number | undefined,
  bytes: number,
  runs: number,
  device: string,
): Division {
  const machine = thisMachine();
  if (jobs === undefined && device !== 'cpu') {
    return { jobs: 1, threads: threads ?? machine.cores, reason: 'one GPU' };
  }
  const found = divideMachine(machine, bytes, runs);
  const chosen = jobs ?? found.jobs;
  return {
    jobs: chosen,
    threads: threads ?? Math.max(1, Math.floor(machine.cores / chosen)),
    reason: jobs === undefined ? found.reason : 'as asked for',
  };
}
