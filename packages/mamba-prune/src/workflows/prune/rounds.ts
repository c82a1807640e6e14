// The rounds of a pruning run. Each step ends with its result on the disk before the next relies on
// it, so that a run which is stopped or killed anywhere goes on where it was:
//
//     rsst-j      regularised training (method rsst); checkpoints/last.safetensors
//     the cut     checkpoints/round-j-cut.safetensors, then its entry in pruning.json
//     round-j     training; checkpoints/last.safetensors
//     its end     checkpoints/round-j.safetensors (model.safetensors after the last round), then
//                 `finished` in pruning.json
//
// Under lr-through rsst-j and round-j are two parts of one training: round-j begins with what the cut leaves of
// the last checkpoint of rsst-j. Under several cuts there is no round-j but the last: rsst-(j+1) begins with that.
import { rmSync, statSync } from 'node:fs';
import type { ImageModel } from '../../models/image-model.js';
import { type ModelInfo, saveModel } from '../../models/model-file.js';
import type { KeptUnits } from '../../models/groups.js';
import { type RsstHooks, doomedUnits } from '../../pruning/rsst/index.js';
import { tensorboardHooks } from '../../logging/tensorboard.js';
import { composeHooks } from '../../training/compose-hooks.js';
import { hearSignals } from '../../training/hear-signals.js';
import type { RunFolder } from '../../training/run-folder.js';
import { train } from '../../training/trainer.js';
import type { TrainHooks } from '../../training/hooks.js';
import type { TrainControl } from '../../training/train-control.js';
import type { TrainOptions } from '../../training/train-options.js';
import type { TrainResult } from '../../training/train-result.js';
import { cutRound, lastCut, roundScores, unitLists, unitMap } from './cutting.js';
import { measure } from './measuring.js';
import { doomedNorms } from './doomed-norms.js';
import { cutPath, roundPath } from './files.js';
import { finetuneStep } from './history-steps.js';
import { phaseEpochs } from './phase-epochs.js';
import type { PhaseHooks, PruneHooks, PrunePhase } from './hooks.js';
import { trainedOn } from '../fit.js';
import { type PruneJob, teachingHooks } from './job.js';
import { type Portion, goesOnToNextCut, portionOf } from './portions.js';
import { pullingHooks } from './pulling.js';
import type { Standing } from './source.js';
import { type PruningRecord, type RoundRecord, writePruningRecord } from './record.js';
import { chooseWanted } from './choose-round-units.js';
import { chooseWithin } from './round-budget.js';
import { epochsDone, remainingParts, wantedSince, withWanted } from './wanted.js';
import { writeRoundScores } from './unit-scores.js';

export class Rounds {
  /** Of the last training. */
  result: TrainResult | undefined;
  #phase: { readonly name: string; readonly hooks: PhaseHooks | undefined } | undefined;

  readonly #job: PruneJob;
  readonly #folder: RunFolder;
  readonly #standing: Standing;
  readonly #hooks: PruneHooks;

  /** @param standing - changes as the run goes on */
  constructor(job: PruneJob, folder: RunFolder, standing: Standing, hooks: PruneHooks) {
    this.#job = job;
    this.#folder = folder;
    this.#standing = standing;
    this.#hooks = hooks;
  }

  /** @returns false if the signal stopped it */
  async run(): Promise<boolean> {
    const job = this.#job;
    const standing = this.#standing;
    const folder = this.#folder;
    for (const { round, finished } of standing.record.rounds) {
      // A run that was killed at the end of a round may have left it.
      if (finished) rmSync(cutPath(folder.path, round), { force: true });
    }
    while (standing.at !== 'done') {
      // Without training a round takes no turn of the event loop.
      await hearSignals();
      if (job.control.signal?.aborted === true) return false;
      const goesOn = standing.at === 'cut' ? await this.#toTheCut() : await this.#finetune();
      if (!goesOn) return false;
    }
    return true;
  }

  async #toTheCut(): Promise<boolean> {
    const job = this.#job;
    const folder = this.#folder;
    const standing = this.#standing;
    const hooks = this.#hooks;
    if (!(await this.#measureSource())) return false;
    if (job.settings.rsst && !(await this.#regularize())) return false;
    const cut = await cutRound(job, standing, hooks);
    if (!cut) return false;
    if (cut.scores) writeRoundScores(folder.path, cut.scores);
    this.#replaceModel(cut.model, cut.info);
    const { round, accuracy } = lastRound(cut.record);
    standing.accuracy = undefined;
    if (job.tuning && !goesOnToNextCut(job.settings, round)) {
      saveModel(cutPath(folder.path, round), cut.model, cut.info);
      this.#keep(cut.record);
      hooks.onCut?.(lastRound(cut.record), cut.record);
      standing.at = 'train';
      return true;
    }
    hooks.onCut?.(lastRound(cut.record), cut.record);
    saveModel(this.#modelPath(round), cut.model, cut.info);
    // Rewinding is for those who train here, so these are the weights that were measured.
    this.#finish(cut.record, null, accuracy.afterCut);
    return true;
  }

  /** Once, before anything is done to the model that is pruned. @returns false if it was stopped */
  async #measureSource(): Promise<boolean> {
    const job = this.#job;
    const standing = this.#standing;
    const hooks = this.#hooks;
    const { record, model } = standing;
    if (!job.dataset || record.accuracy.before !== null) return true;
    const before = await measure(job, model, 'before', hooks);
    if (before === undefined) return false;
    const { measuredOn } = job;
    this.#keep({ ...record, accuracy: { ...record.accuracy, before }, measuredOn });
    standing.accuracy = before ?? undefined;
    return true;
  }

  /** @returns false if it was stopped */
  async #regularize(): Promise<boolean> {
    const job = this.#job;
    const standing = this.#standing;
    const folder = this.#folder;
    const { rsst } = job.settings;
    if (!rsst || !job.regularizing) return true;
    const round = standing.record.rounds.length + 1;
    const phase = { name: `rsst-${round}`, kind: 'regularize', round } as const;
    const { rechoose, cuts = 1, cutAtZero = false } = rsst;
    const portion = portionOf(rsst, standing.record, round);
    const epochs = portion.until;
    const choices = { epochs, every: rechoose ?? epochs, done: epochsDone(folder, phase.name) };
    const continues = cuts > 1 && round > 1 ? this.#cutFrom(round - 1) : undefined;
    // Its end is in the last checkpoint, from which the cut can be made again; no file of its own.
    const own = {
      saveModel: (): void => undefined,
      ...teachingHooks(job, phase.kind),
    };
    for (const { from, until } of remainingParts(standing.record, round, choices)) {
      const added = await this.#pull(round, from, portion);
      const endsWhen = cutAtZero ? added?.isAtZero : undefined;
      const part = { untilEpoch: until, continues, endsWhen };
      const result = await this.#train(phase, job.regularizing, { added, own, part });
      standing.accuracy = result.valAccuracy ?? undefined;
      if (!result.finished) return false;
      if (cutAtZero || cuts > 1) standing.cutAfterEpoch = result.epochs;
      if (result.epochs < until) break;
    }
    return true;
  }

  /** What pulls on the units. @param epoch - regularised epochs that are done */
  async #pull(round: number, epoch: number, portion: Portion): Promise<RsstHooks | undefined> {
    const { settings } = this.#job;
    const { model } = this.#standing;
    const units =
      settings.rsst?.units === 'doomed'
        ? doomedUnits(model.pruningGroups(), await this.#wanted(round, epoch))
        : undefined;
    return pullingHooks(settings, model, units, portion);
  }

  /** The units that stay, as they are chosen after `epoch` regularised epochs, and kept in the record. */
  async #wanted(round: number, epoch: number): Promise<KeptUnits> {
    const job = this.#job;
    const standing = this.#standing;
    const { settings, calibration } = job;
    const { record, model } = standing;
    const known = wantedSince(record, round, epoch);
    if (known) return unitMap(known);
    this.#hooks.onScore?.(round, settings.rounds);
    const chosen = await chooseWithin(job, standing, (at) =>
      chooseWanted(model, settings, at, calibration),
    );
    const { kept, scores } = chosen.choice;
    writeRoundScores(this.#folder.path, roundScores(settings, record, model, scores));
    const norms =
      epoch === 0 && settings.rsst ? doomedNorms(model, kept, settings.rsst.norm) : undefined;
    const choice = { epoch, kept: unitLists(kept), norms };
    this.#keep({ ...chosen.record, wanted: withWanted(record, round, choice) });
    return kept;
  }

  /** What the last cut, a round's, leaves of the training that regularised it. */
  #cutFrom(round: number): TrainControl['continues'] {
    // Else the averages would forget the compensation, and they are the result.
    const averagesFollow = this.#job.compensation !== undefined;
    return { phase: `rsst-${round}`, cut: lastCut(this.#standing), averagesFollow };
  }

  /** @returns false if it was stopped */
  async #finetune(): Promise<boolean> {
    const job = this.#job;
    const folder = this.#folder;
    const standing = this.#standing;
    const { round } = lastRound(standing.record);
    const { tuning, settings } = job;
    if (!tuning) return true;
    const target = this.#modelPath(round);
    let { info } = standing;
    const saveTrained: NonNullable<TrainHooks['saveModel']> = (path, model, made) => {
      const { epoch, weights, valAccuracy: accuracy } = made;
      const { dataset } = settings;
      const step = finetuneStep({ round, dataset, epoch, weights, accuracy });
      const known = trainedOn(job.dataset, standing.info);
      const trained = { ...known, history: [...known.history, step] };
      const isResult = path === folder.modelPath;
      if (isResult) info = trained;
      saveModel(isResult ? target : path, model as ImageModel, trained);
    };
    const { rsst } = settings;
    const phase = { name: `round-${round}`, kind: 'finetune', round } as const;
    const own = { saveModel: saveTrained, ...teachingHooks(job, phase.kind) };
    const part = rsst?.lrThrough ? { continues: this.#cutFrom(round) } : undefined;
    const result = await this.#train(phase, tuning, { own, part });
    if (!result.finished) return false;
    this.result = { ...result, path: target };
    standing.info = info;
    this.#finish(standing.record, result.valAccuracy, result.valAccuracy);
    return true;
  }

  async #train(
    { name, kind, round }: Pick<PrunePhase, 'name' | 'kind' | 'round'>,
    options: TrainOptions,
    { added, own, part }: PhaseParts,
  ): Promise<TrainResult> {
    const job = this.#job;
    const folder = this.#folder;
    const standing = this.#standing;
    const { control, settings, dataset } = job;
    if (!dataset) throw new Error(`phase ${name}: no data set`); // openJob has refused it
    const { firstEpoch, ...counts } = phaseEpochs(job, standing.record, { kind, round });
    const phase = { name, kind, round, rounds: settings.rounds, ...counts };
    const { signal, dataThreads, tensorboard } = control;
    this.result = await train(
      standing.model,
      dataset,
      { ...options, firstEpoch },
      folder,
      composeHooks(
        this.#hooksOf(phase) ?? control.hooks,
        tensorboard === true ? tensorboardHooks(folder.path) : undefined,
        added,
        own,
      ),
      {
        phase: name,
        ...part,
        // Anything there is of this phase, or of one before, is ours.
        resume: folder.hasTrained && (control.resume === 'previous' ? 'previous' : true),
        restart: control.restart,
        signal,
        dataThreads,
      },
    );
    return this.result;
  }

  /** One set for all parts of a phase. */
  #hooksOf(phase: PrunePhase): PhaseHooks | undefined {
    if (this.#phase?.name !== phase.name) {
      this.#phase = { name: phase.name, hooks: this.#hooks.onPhase?.(phase) };
    }
    return this.#phase.hooks;
  }

  #finish(record: PruningRecord, after: number | null, accuracy: number | null): void {
    const standing = this.#standing;
    const hooks = this.#hooks;
    const job = this.#job;
    const entry = lastRound(record);
    const finished = { ...entry, accuracy: { ...entry.accuracy, after }, finished: true };
    this.#keep({
      ...withFileSize(record, this.#modelPath(entry.round)),
      accuracy: { ...record.accuracy, after },
      rounds: [...record.rounds.slice(0, -1), finished],
    });
    rmSync(cutPath(this.#folder.path, entry.round), { force: true });
    standing.accuracy = accuracy ?? undefined;
    standing.at = entry.round === job.settings.rounds ? 'done' : 'cut';
    hooks.onRound?.(finished, standing.record);
  }

  #modelPath(round: number): string {
    const { modelPath, path } = this.#folder;
    return round === this.#job.settings.rounds ? modelPath : roundPath(path, round);
  }

  #replaceModel(model: ImageModel, info: ModelInfo): void {
    this.#standing.model.dispose();
    Object.assign(this.#standing, { model, info });
  }

  #keep(record: PruningRecord): void {
    writePruningRecord(this.#folder.path, record);
    this.#standing.record = record;
  }
}

/** With the size of the file that is there now: the training has added to what it says of its model. */
function withFileSize(record: PruningRecord, path: string): PruningRecord {
  const { costBudget } = record;
  if (costBudget?.every(({ of }) => of !== 'file') ?? true) return record;
  const { size: reached } = statSync(path);
  return {
    ...record,
    costBudget: costBudget?.map((entry) => (entry.of === 'file' ? { ...entry, reached } : entry)),
  };
}

function lastRound({ rounds }: PruningRecord): RoundRecord {
  return rounds.at(-1) as RoundRecord;
}

/** What one training of a run has of its own. */
interface PhaseParts {
  readonly added?: RsstHooks | undefined;
  readonly own: Pick<TrainHooks, 'saveModel' | 'distillation'>;
  /** Of one training that the cut divides. */
  readonly part?: Pick<TrainControl, 'untilEpoch' | 'endsWhen' | 'continues'> | undefined;
}
