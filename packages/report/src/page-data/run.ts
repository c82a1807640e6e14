/** A run as pages show it: where it comes from, what it was trained with, what it came to. */
import type { EpochPoint, PhaseData, StepPoint } from './epochs.js';
import type { PruningData } from './pruning.js';
import type { SensitivityData } from './sensitivity.js';

export type RunState = 'running' | 'finished' | 'stopped';
/** `train` is a dense training. */
export type RunMethod = 'train' | 'oneshot' | 'refill' | 'rsst';

export interface RunData {
  /** Its path below what all runs have in common; unique in a report. */
  readonly id: string;
  /** Absolute, on the machine of the run. */
  readonly path: string;
  /** Of a model that comes without a run: its file. Of a run undefined, whose folder has model.safetensors. */
  readonly file?: string | undefined;
  readonly method: RunMethod;
  readonly state: RunState;
  /** ISO 8601. */
  readonly created: string;
  readonly arch: string;
  readonly dataset: DatasetData | undefined;
  readonly seed: number;
  /** Command line that makes the same run again; undefined if a program made it. */
  readonly repeat: RepeatCommand | undefined;
  /** Versions, machine and options, as words. */
  readonly facts: readonly Fact[];
  /** Id of the run that was pruned, if it is in the report. */
  readonly source: string | undefined;
  /** The model that the run began with: what it pruned, or whose training it went on with; undefined for random weights. */
  readonly began: BeganData | undefined;
  /** Whether all units are there. */
  readonly isDense: boolean;
  /** What it was trained with after that. */
  readonly training: TrainingData;
  /** Share of 1; of the finished model, or of the last epoch so far. */
  readonly accuracy: number | null;
  readonly size: ModelSize | undefined;
  /** Before the first cut of this run; of a dense training undefined. */
  readonly sizeBefore: ModelSize | undefined;
  readonly accuracyBefore: number | null;
  /** Every line that an epoch left. */
  readonly epochs: readonly EpochPoint[];
  /** Of lines within epochs, thinned out. */
  readonly steps: readonly StepPoint[];
  /** Trainings in order, with the epochs each is to have; later ones may not have begun. */
  readonly phases: readonly PhaseData[];
  readonly pruning: PruningData | undefined;
  /** Shares that are gone, per kind, of a pruned model that comes without a run. */
  readonly removed?: Readonly<Record<string, number>> | undefined;
  /** Of its model, if it was measured. */
  readonly sensitivity?: SensitivityData | undefined;
}

export interface DatasetData {
  readonly name: string;
  /** What a folder of one's own is called, which tells such data sets apart. */
  readonly folder?: string | undefined;
  readonly note?: string | undefined;
}

export interface BeganData {
  /** Id of its run, if it is in the report. */
  readonly run: string | undefined;
  /** The same for all runs that began with it: its digest, or its path. */
  readonly model: string;
}

export interface TrainingData {
  /** Of all rounds together. */
  readonly epochs: number;
  readonly warmupEpochs: number;
  /** Of the epochs of one training. */
  readonly warmupShare: number;
  /** Everything else that decides the weights but the seed: the same text for the same recipe. */
  readonly recipe: string;
  /** The weights went back to those of a beginning: `epochs` counts from random weights. */
  readonly isFromStart: boolean;
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface RepeatCommand {
  /** Folder that it was typed in. */
  readonly cwd: string;
  readonly line: string;
}

export interface ModelSize {
  readonly parameters: number;
  /** Multiply-accumulates of one image. */
  readonly macs: number;
  /** Of the model's file; null while there is none. */
  readonly bytes: number | null;
}
