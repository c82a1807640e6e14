// Where a pruning run stopped, from what it left on the disk.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { FormatError } from '@mamba-prune/libtorch';
import { DataError } from '../../data/errors.js';
import { UsageError } from '../../errors.js';
import { type ModelInfo, loadModel } from '../../models/model-file.js';
import { readCheckpoint, readCheckpointInfo } from '../../training/checkpoint.js';
import type { RunFolder } from '../../training/run-folder.js';
import { cutPath, roundPath } from './files.js';
import { goesOnToNextCut } from './portions.js';
import { type Standing, digestOf, openSource } from './source.js';
import {
  type PruneSettings,
  type ResolvedPruneSettings,
  resolvePruneSettings,
} from './settings.js';
import { type PruningRecord, readPruningRecord } from './record.js';
import { type RunControl, checkSame } from '../settings.js';

/**
 * @param settings - now; they must be those of the run, but epochs of a single round may grow
 * @throws UsageError if they are not; DataError if the record, or the model to go on with, is damaged
 */
export async function goOn(
  run: RunFolder,
  settings: PruneSettings,
  resolved: ResolvedPruneSettings,
  control: RunControl,
): Promise<Standing> {
  const stored = run.config['settings'] as PruneSettings | undefined;
  checkSettings(settings, resolved, stored);
  const record = withSource(readPruningRecord(run.path), resolved);
  const last = record?.rounds.at(-1);
  // Nothing cut: the model to go on with is still the one that was pruned.
  if (!record || !last) {
    checkSource(run, resolved);
    const source = await openSource(resolved);
    // Still the accuracy of that model: nothing else has been done to it on the disk.
    return record ? { ...source, record, accuracy: record.accuracy.before ?? undefined } : source;
  }
  const needsSource = resolved.distill !== undefined || resolved.rewind === 'source';
  const isNamedAnew = stored !== undefined && resolve(stored.model) !== resolve(resolved.model);
  if (needsSource || isNamedAnew || existsSync(resolved.model)) checkSource(run, resolved);
  const isLast = last.round === record.plannedRounds;
  const path = last.finished
    ? isLast
      ? run.modelPath
      : roundPath(run.path, last.round)
    : cutPath(run.path, last.round);
  const step = openStep(path, last.round, control);
  if ('lost' in step) {
    checkSource(run, resolved);
    return { ...(await openSource(resolved)), lost: step.lost };
  }
  const { model, info } = step;
  const accuracy = last.accuracy.after ?? undefined;
  const trained = resolved.recipe.epochs > 0;
  // A finished last round may be trained on, also where it was only cut; one whose end is lost has to be.
  const isOnlyCut = info.history.at(-1)?.step === 'prune';
  const again = isLast
    ? trained && (isOnlyCut || existsSync(run.lastCheckpoint))
    : lostEnd(run, control) === `round-${last.round}`;
  // The training goes on to the next cut with what it knows, which is in its checkpoint alone.
  const isBetween = last.finished && goesOnToNextCut(resolved, last.round);
  if (!last.finished || again || isBetween) {
    let lost: string | undefined;
    try {
      lost = lostTraining(run, last.round, resolved, control);
      if (lost !== undefined) checkSource(run, resolved);
    } catch (error) {
      model.dispose();
      throw error;
    }
    if (lost !== undefined) {
      model.dispose();
      return { ...(await openSource(resolved)), lost };
    }
    if (!isBetween) return { record, model, info: infoAtCut(info), at: 'train' };
  }
  return { record, model, info, accuracy, at: isLast ? 'done' : 'cut' };
}

/**
 * The model to go on with; what is wrong with it if the run may begin anew.
 * @throws DataError if it is missing, FormatError if it is damaged, unless the run may begin anew
 */
function openStep(
  path: string,
  round: number,
  { restart }: RunControl,
): ReturnType<typeof loadModel> | { readonly lost: string } {
  const what = `${path}, the model of round ${round},`;
  if (existsSync(path)) {
    try {
      return loadModel(path);
    } catch (error) {
      if (restart === true && error instanceof FormatError) return { lost: `${what} is damaged` };
      throw error;
    }
  }
  if (restart === true) return { lost: `${what} is missing` };
  throw new DataError(
    `resume: ${what} is missing, expected where the run stopped. Put it back, prune anew in the same ` +
      'folder (`resume` with `restart`), or replace the run: its first command again, with `overwrite`.',
    { file: path },
  );
}

/**
 * Under lr-through the training after a cut, which may be for the next cut, needs what the one before it left: its last
 * checkpoint, or one of its own.
 * @returns what is wrong if there is neither and the run may begin anew
 * @throws DataError if it may not
 */
function lostTraining(
  run: RunFolder,
  round: number,
  settings: ResolvedPruneSettings,
  { resume, restart }: RunControl,
): string | undefined {
  if (!settings.rsst?.lrThrough) return undefined;
  const next = goesOnToNextCut(settings, round) ? `rsst-${round + 1}` : `round-${round}`;
  const { lastCheckpoint, previousCheckpoint } = run;
  const goesOn = (path: string): boolean | undefined => {
    try {
      // All of it is read only where it decides whether to begin anew.
      const { phase, finished } = restart ? readCheckpoint(path).state : readCheckpointInfo(path);
      return phase === next || (phase === `rsst-${round}` && finished);
    } catch {
      return undefined;
    }
  };
  const last = goesOn(lastCheckpoint);
  if (last === true) return undefined;
  const previous = last === undefined ? goesOn(previousCheckpoint) : undefined;
  if (previous === true) return undefined;
  // Where the training reads the checkpoints it says which is damaged, and what can be done.
  const isTold = last === undefined && (previous === undefined || resume !== 'previous');
  if (isTold && restart !== true) return undefined;
  const state =
    last === false ? 'is another' : existsSync(lastCheckpoint) ? 'is damaged' : 'is missing';
  const lost = `${lastCheckpoint}, the checkpoint that the training of round ${round} goes on from, ${state}`;
  if (restart === true) return lost;
  throw new DataError(
    `resume: ${lost}; under \`rsst.lrThrough\` nothing else will do. Put the file back, prune anew in the same folder ` +
      '(`resume` with `restart`), or replace the run: its first command again, with `overwrite`.',
    { file: lastCheckpoint },
  );
}

/** Without the training after the last cut. */
function infoAtCut(info: ModelInfo): ModelInfo {
  const cut = info.history.findLastIndex(({ step }) => step === 'prune');
  return { ...info, history: info.history.slice(0, cut + 1) };
}

/**
 * The phase that --resume previous has to do the end of again: its last checkpoint is damaged and the
 * one before was made within it.
 */
function lostEnd(run: RunFolder, { resume }: RunControl): string | undefined {
  if (resume !== 'previous') return undefined;
  try {
    readCheckpointInfo(run.lastCheckpoint);
    return undefined;
  } catch {
    const { phase, finished } = readCheckpointInfo(run.previousCheckpoint);
    return finished ? undefined : phase;
  }
}

/** With the place that the model which is pruned has now. */
const withSource = (
  record: PruningRecord | undefined,
  { model }: ResolvedPruneSettings,
): PruningRecord | undefined => record && { ...record, source: resolve(model) };

/** @throws UsageError if the model that was pruned is not where it is said to be, or is another one */
function checkSource(run: RunFolder, { model: path }: ResolvedPruneSettings): void {
  const { sha256 } = (run.config['source'] ?? {}) as { sha256?: string };
  if (!existsSync(path)) {
    throw new UsageError(
      `resume: ${path}, the model that is pruned, does not exist any more. Put it back, name it where it lies now, or start a ` +
        'new run.',
    );
  }
  if (sha256 === undefined) {
    // Only its place tells which one it was.
    const { model } = (run.config['settings'] ?? {}) as Partial<PruneSettings>;
    checkSame('pruning', { model: path }, { model });
    return;
  }
  if (digestOf(path) === sha256) return;
  throw new UsageError(
    `resume: ${path} is not the model that the run began with: it has another content. ` +
      'Put the old one back, name it where it lies now, or start a new run.',
  );
}

function checkSettings(
  settings: PruneSettings,
  now: ResolvedPruneSettings,
  stored: PruneSettings | undefined,
): void {
  const before = stored && resolvePruneSettings(stored);
  // The model and the data may have moved; `checkSource` and the trainer see whether they are the same.
  // Another method has choices of its own, which nobody asked for.
  const ofMethod = now.method === before?.method ? [] : (['rsst', 'refill'] as const);
  const apart = ['model', 'data', 'recipe', 'importanceReason', ...ofMethod] as const;
  checkSame('pruning', without(now, apart), before);
  checkSame('recipe', without(now.recipe, ['epochs', 'checkpointEvery']), before?.recipe);
  const [epochs, then] = [settings.recipe.epochs, before?.recipe.epochs ?? 0];
  // Only a single round leaves nothing that was trained for fewer epochs.
  if (epochs < then || (epochs > then && now.rounds > 1)) {
    checkSame('recipe', { epochs }, before?.recipe);
  }
}

function without(object: object, names: readonly string[]): object {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
