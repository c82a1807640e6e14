// Back to the weights of an earlier time: where the run that trained a model kept them (Frankle and
// Carbin 2019, arXiv 1803.03635; Frankle et al. 2020, arXiv 1912.05671, for times after the start).
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ImportOptions } from '../../models/import/model.js';
import type { KeptUnits } from '../../models/groups.js';
import { pruneModel } from '../../pruning/surgery.js';
import { stableJson } from '../../training/options.js';
import { RunFolder } from '../../training/run-folder.js';
import { openModelFile } from '../open-model-file.js';
import type { Rewind } from './rewind-time.js';

const keptName = /^(?:init|epoch-(\d+))\.safetensors$/;

/** The file in a run's folder that holds the weights after `epoch` epochs of its training; 0: the start. */
export function keptWeightsPath(run: string, epoch: number): string {
  return join(run, 'checkpoints', epoch === 0 ? 'init.safetensors' : `epoch-${epoch}.safetensors`);
}

/**
 * The file that a model is rewound to.
 * @param model - file of the model that is pruned
 * @throws UsageError if the run that trained it is not there, or did not keep those weights
 */
export function rewindFile(model: string, rewind: Exclude<Rewind, 'none'>): string {
  if (rewind === 'source') return resolve(model);
  const run = trainingRunOf(model, rewind);
  const file = keptWeightsPath(run, rewind === 'init' ? 0 : Number(rewind.slice('epoch:'.length)));
  if (existsSync(file)) return file;
  const kept = keptEpochs(run);
  throw new UsageError(
    `rewind: got ${rewind}, but ${run} kept ${kept.length > 0 ? `only ${kept.join(', ')}` : 'no weights of its training'}. ` +
      `Train again and keep them (\`train.keepEpochs\`${rewind === 'init' ? '' : ` ${rewind.slice('epoch:'.length)}`}), or rewind to what there is.`,
  );
}

/** As `rewind` names them: `init`, `epoch:5` ... */
function keptEpochs(run: string): string[] {
  const folder = join(run, 'checkpoints');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => {
      const match = keptName.exec(name);
      return match ? [Number(match[1] ?? 0)] : [];
    })
    .sort((a, b) => a - b)
    .map((epoch) => (epoch === 0 ? 'init' : `epoch:${epoch}`));
}

/** The training run at the beginning of a chain of pruning runs. */
function trainingRunOf(model: string, rewind: Rewind): string {
  let file = resolve(model);
  for (const seen = new Set<string>(); !seen.has(file);) {
    seen.add(file);
    const run = runOf(file);
    if (run === undefined) break;
    const { command, settings, cwd } = run.config as RunFolder['config'] & {
      settings?: { model?: unknown };
    };
    if (command === 'train') return run.path;
    if (typeof settings?.model !== 'string') break;
    file = resolve(cwd, settings.model);
  }
  throw new UsageError(
    `rewind: got ${rewind}, expected a model in the folder of the run that trained it: ` +
      `${file === resolve(model) ? file : `${model} was pruned from ${file}, which`} is in no run. ` +
      'Prune RUN/model.safetensors of a training that is still there, or leave `rewind` out.',
  );
}

/** The run that a model file lies in, there or among its checkpoints. */
function runOf(file: string): RunFolder | undefined {
  const folder = dirname(file);
  const path = basename(folder) === 'checkpoints' ? dirname(folder) : folder;
  return RunFolder.isRun(path) ? RunFolder.open(path) : undefined;
}

/** What the model that is pruned looked like before it was ever cut. */
export interface DenseShape {
  readonly config: object;
  /** Width of every group. */
  readonly widths: Readonly<Record<string, number>>;
  /** What the file does not tell of it. */
  readonly import?: ImportOptions | undefined;
}

/**
 * A model with the kept units as they were in a file.
 * @param kept - units of the model in that file
 * @param expected - checked against the file
 * @returns the caller's to dispose
 * @throws UsageError if the file holds another model; FormatError if it is damaged
 */
export async function rewoundModel(
  file: string,
  kept: KeptUnits,
  expected: DenseShape,
): Promise<ImageModel> {
  const { model } = await openModelFile(file, expected.import);
  try {
    checkShape(file, model, expected);
    return pruneModel(model, kept);
  } finally {
    model.dispose();
  }
}

/** @throws UsageError if a file's model is not of the shape; it may be of another training */
export async function checkRewindFile(file: string, expected: DenseShape): Promise<void> {
  const { model } = await openModelFile(file, expected.import);
  try {
    checkShape(file, model, expected);
  } finally {
    model.dispose();
  }
}

function checkShape(file: string, model: ImageModel, { config, widths }: DenseShape): void {
  const fits =
    stableJson({ ...model.config, widths: {} }) === stableJson({ ...config, widths: {} }) &&
    model.pruningGroups().every(({ name, size }) => (widths[name] ?? size) === size);
  if (fits) return;
  throw new UsageError(
    `rewind: ${file} holds another model than the one that is pruned. Was the run trained again with ` +
      'other settings? Prune the model that it trains now.',
  );
}
