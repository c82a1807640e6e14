// Shows the same test images to the models of several runs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Dataset, type ModelConfigBase, UsageError } from 'mamba-prune';
import type { NoteHandler } from 'mamba-prune/data';
import { baselineOf } from '../data/baseline.js';
import { loadOrNote } from '../load-or-note.js';
import { dataName } from '../data/data-name.js';
import type { DisagreementData, EvaluationData } from '../page-data/evaluation.js';
import type { RunData } from '../page-data/run.js';
import { type Predictions, chooseImages, classify } from './classify.js';
import { confusionOf, disagreements } from './compare-predictions.js';
import { type ImageSource, imagesOf } from './open-images.js';
import { thumbnail } from './thumbnail.js';

/** A comparison has dozens of models, and a reader looks at a few. */
const maxRuns = 12;

export interface EvaluateRunsOptions extends ImageSource {
  /** At most so many, evenly over the classes. */
  readonly images: number;
  /** Or what chooses it, once there is a model to run. */
  readonly device: string | (() => string);
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onNote?: NoteHandler | undefined;
  /** Told of models that cannot be read or do not fit the images, which are left out. */
  readonly onLeftOut?: NoteHandler | undefined;
}

interface Chosen {
  readonly run: RunData;
  readonly model: string;
}

interface Readable extends Chosen {
  readonly config: ModelConfigBase;
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
    .map((run): Chosen => ({ run, model: run.file ?? join(run.path, 'model.safetensors') }))
    .filter(({ run, model }) => run.size?.bytes != null && existsSync(model));
  const last = finished.at(-1)?.run;
  const name = options.dataset ?? last?.dataset?.name;
  const fitting = finished.filter(
    ({ run }) => options.dataset !== undefined || (last && dataName(run) === dataName(last)),
  );
  const ids = new Set(fitting.map(({ run }) => run.id));
  // The one that was trained alike, or the source: what the numbers on the page are compared with.
  const denseOf: DenseOf = (run) =>
    [baselineOf(run, runs)?.run?.id, run.source].find((id) => id !== undefined && ids.has(id));
  const chosen = withSources(fitting, denseOf).flatMap((each) => readable(each, options.onLeftOut));
  const [first] = chosen;
  if (!first || name === undefined) return undefined;
  if (chosen.length < fitting.length) {
    options.onNote?.(`The images were shown to ${chosen.length} of ${fitting.length} models.`);
  }
  const device = typeof options.device === 'string' ? options.device : options.device();
  // The same images for all, each at the size that its model takes.
  const openFor = imagesOf(first.run, name, options);
  const dataset = await openFor(first.config);
  const split = chooseImages(dataset, options.images);
  const labels = Int32Array.from({ length: split.length }, (_, i) => split.label(i));
  const { classes } = dataset.info;
  const predictions = new Map<string, Predictions>();
  for (const [index, { run, model, config }] of chosen.entries()) {
    try {
      const result = await classify(model, await openFor(config), options.images, {
        device,
        signal: options.signal,
        onProgress: (done, total) => options.onProgress?.(index + done / total, chosen.length),
      });
      predictions.set(run.id, result);
    } catch (error) {
      if (options.signal?.aborted === true || !(error instanceof UsageError)) throw error;
      options.onLeftOut?.(`${run.id} was not shown the images: ${error.message}`);
    }
  }
  return {
    dataset: options.dataset ?? dataName(first.run),
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

/** With what its file says, or nothing where it cannot be read. */
function readable(chosen: Chosen, onLeftOut: NoteHandler | undefined): Readable[] {
  const model = loadOrNote(chosen.model, onLeftOut);
  if (!model) return [];
  const { config } = model;
  model.dispose();
  return [{ ...chosen, config }];
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
