// Shows the same test images to the models of several runs.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Dataset, RunFolder, UsageError, loadModel } from 'mamba-prune';
import type { NoteHandler } from 'mamba-prune/data';
import { openDataFor, requireRecordedDataset } from 'mamba-prune/internal';
import { baselineOf } from '../data/baseline.js';
import type { DisagreementData, EvaluationData, RunData } from '../data/types.js';
import { loadOrNote } from '../load-or-note.js';
import { type Predictions, chooseImages, classify } from './classify.js';
import { confusionOf, disagreements } from './compare-predictions.js';
import { thumbnail } from './thumbnail.js';

/** A comparison has dozens of models, and a reader looks at a few. */
const maxRuns = 12;

export interface EvaluateRunsOptions {
  /** At most so many, evenly over the classes. */
  readonly images: number;
  /** In place of what the runs name. */
  readonly dataset?: string | undefined;
  readonly data?: string | undefined;
  /** Or what chooses it, once there is a model to run. */
  readonly device: string | (() => string);
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onNote?: NoteHandler | undefined;
  /** Told of models that cannot be read, which are left out. */
  readonly onDamaged?: NoteHandler | undefined;
}

interface Chosen {
  readonly run: RunData;
  readonly model: string;
}

/**
 * Classifies test images with every finished model that was trained on the same data.
 * @returns undefined if no run has a model
 * @throws DataError or UsageError if the images cannot be had or do not fit
 */
export async function evaluateRuns(
  runs: readonly RunData[],
  options: EvaluateRunsOptions,
): Promise<EvaluationData | undefined> {
  const finished = runs
    .map((run): Chosen => ({ run, model: join(run.path, 'model.safetensors') }))
    .filter(({ run, model }) => run.size?.bytes != null && existsSync(model));
  const name = options.dataset ?? finished.at(-1)?.run.dataset?.name;
  const fitting = finished.filter(
    ({ run }) => options.dataset !== undefined || run.dataset?.name === name,
  );
  const ids = new Set(fitting.map(({ run }) => run.id));
  // The one that was trained alike, or the source: what the numbers on the page are compared with.
  const denseOf: DenseOf = (run) =>
    [baselineOf(run, runs)?.run?.id, run.source].find((id) => id !== undefined && ids.has(id));
  const chosen = withSources(fitting, denseOf).filter(({ model: path }) => {
    const model = loadOrNote(path, options.onDamaged);
    model?.dispose();
    return model !== undefined;
  });
  const [first] = chosen;
  if (!first || name === undefined) return undefined;
  if (chosen.length < fitting.length) {
    options.onNote?.(`The images were shown to ${chosen.length} of ${fitting.length} models.`);
  }
  const device = typeof options.device === 'string' ? options.device : options.device();
  const dataset = await openFor(first, name, options);
  const split = chooseImages(dataset, options.images);
  const labels = Int32Array.from({ length: split.length }, (_, i) => split.label(i));
  const { classes } = dataset.info;
  const predictions = new Map<string, Predictions>();
  for (const [index, { run, model }] of chosen.entries()) {
    const result = await classify(model, dataset, options.images, {
      device,
      signal: options.signal,
      onProgress: (done, total) => options.onProgress?.(index + done / total, chosen.length),
    });
    predictions.set(run.id, result);
  }
  return {
    dataset: name,
    classes,
    images: split.length,
    available: dataset.test.length,
    runs: Array.from(predictions, ([run, made]) => ({
      run,
      accuracy: made.accuracy,
      confusion: confusionOf(made, labels, classes.length),
    })),
    pairs: await pairsOf(chosen, predictions, labels, { dataset, split, denseOf }),
  };
}

/** Id of the dense model that a run is compared with, if it has one among the others. */
type DenseOf = (run: RunData) => string | undefined;

/** The last ones, with what they are compared with. */
function withSources(fitting: readonly Chosen[], denseOf: DenseOf): Chosen[] {
  if (fitting.length <= maxRuns) return [...fitting];
  const kept = new Set<string>();
  for (const { run } of fitting.toReversed()) {
    const more = [run.id, denseOf(run)].filter((id) => id !== undefined && !kept.has(id));
    if (kept.size + more.length > maxRuns) break;
    for (const id of more) if (id !== undefined) kept.add(id);
  }
  return fitting.filter(({ run }) => kept.has(run.id));
}

/** The folder that the run was told, unless another one is given. */
async function openFor(
  { run, model: path }: Chosen,
  name: string,
  { dataset, data, onNote }: EvaluateRunsOptions,
): Promise<Dataset> {
  if (dataset === undefined) {
    requireRecordedDataset(run.path, RunFolder.open(run.path).config.dataset);
  }
  const { model } = loadModel(path);
  const { config } = model;
  model.dispose();
  return openDataFor({ config }, { dataset: name, data: data ?? dataFolderOf(run) }, { onNote });
}

export function dataFolderOf({ path, file }: Pick<RunData, 'path' | 'file'>): string | undefined {
  // There is no run that would say it.
  if (file !== undefined) return undefined;
  const { dataset, cwd } = RunFolder.open(path).config;
  const { dir } = (dataset ?? {}) as { dir?: unknown };
  return typeof dir === 'string' ? resolve(cwd, dir) : undefined;
}

async function pairsOf(
  chosen: readonly Chosen[],
  predictions: ReadonlyMap<string, Predictions>,
  labels: Int32Array,
  {
    dataset,
    split,
    denseOf,
  }: { dataset: Dataset; split: ReturnType<typeof chooseImages>; denseOf: DenseOf },
): Promise<DisagreementData[]> {
  const pairs: DisagreementData[] = [];
  for (const { run } of chosen) {
    const pruned = predictions.get(run.id);
    const other = run.isDense ? undefined : denseOf(run);
    const dense = other === undefined ? undefined : predictions.get(other);
    if (!pruned || !dense || other === undefined) continue;
    const { counts, examples } = disagreements(dense, pruned, labels);
    const images = await Promise.all(
      examples.map(({ index }) => thumbnail(split, index, dataset.info)),
    );
    pairs.push({
      dense: other,
      pruned: run.id,
      counts,
      examples: examples.map((example, i) => ({ ...example, image: images[i] ?? '' })),
    });
  }
  return pairs;
}

/** Whether an error is about data that are not where a run had them: a report can do without. */
export const isAboutData = (error: unknown): error is Error =>
  error instanceof UsageError || (error as Error | undefined)?.name === 'DataError';
