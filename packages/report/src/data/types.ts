/**
 * What a page is made of: plain JSON, read from the folders of runs. The page knows nothing else, so
 * that the file a report is in and the studio show the same.
 */
import type { Preprocessing } from 'mamba-prune/preparation';
import type { UnitNorms } from 'mamba-prune/pruning';
import type { MethodResult, MethodTest, RunResult } from 'mamba-prune/workflows';

export interface ReportData {
  readonly kind: 'mamba-prune report';
  readonly format: 1;
  /** Of mamba-prune. */
  readonly version: string;
  /** ISO 8601. */
  readonly created: string;
  /** What shows the same runs live, on the machine of the report. */
  readonly studio: RepeatCommand;
  readonly runs: readonly RunData[];
  readonly comparisons: readonly ComparisonData[];
  /** Measurements from files of their own; those in folders of runs belong to these. */
  readonly sensitivities?: readonly SensitivityData[] | undefined;
  readonly latency?: LatencyData | undefined;
  readonly evaluation?: EvaluationData | undefined;
  /** What the units of every kind are called, by language; older reports have none. */
  readonly kinds?: Readonly<Record<string, KindLabel>> | undefined;
  /** Things the reader should know: a data set that was not found, say. */
  readonly notes: readonly string[];
}

/** English stands for what there is not. */
export interface KindLabel {
  readonly en: string;
  readonly zh?: string | undefined;
}

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
  readonly dataset: { readonly name: string; readonly note?: string | undefined } | undefined;
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

/** What each part of a model loses when it alone is cut. */
export interface SensitivityData {
  /** Of the run, or the name of the file. */
  readonly id: string;
  /** What was cut together: `group`, `block` or `kind`. */
  readonly by: string;
  /** Shares that were removed, increasing. */
  readonly rates: readonly number[];
  readonly images: { readonly dataset: string; readonly split: string; readonly count: number };
  /** Whether every part has a point at every rate. */
  readonly finished: boolean;
  /** Of the whole model. */
  readonly loss: number;
  readonly accuracy: number;
  readonly parts: readonly SensitivityPartData[];
}

export interface SensitivityPartData {
  readonly name: string;
  readonly kinds: readonly string[];
  readonly units: number;
  readonly points: readonly {
    readonly rate: number;
    readonly loss: number;
    readonly accuracy: number;
  }[];
  /** Share that goes by the rates that a search found. */
  readonly cut?: number | undefined;
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

export interface PhaseData {
  readonly name: string;
  /** Epochs that it is to have. */
  readonly epochs: number;
  /** Epochs of the run before it. */
  readonly before: number;
  /** Of those, the ones that its own are counted on from. None by default. */
  readonly epochsBefore?: number;
  /** Of the pruning, counted from 1; 0 for a dense training. */
  readonly round: number;
  readonly kind: 'train' | 'regularize' | 'finetune';
}

export interface EpochPoint {
  readonly phase: string;
  /** Counted from 1 within the training. */
  readonly epoch: number;
  /** Counted over the whole run. */
  readonly x: number;
  readonly loss: number;
  readonly trainAccuracy: number;
  readonly valLoss: number | null;
  readonly valAccuracy: number | null;
  readonly emaAccuracy?: number | null;
  readonly lr: number;
  readonly gradNorm?: number;
  readonly imagesPerSecond: number;
  readonly seconds: number;
  /** Of RSST: λ, and the sum of the norms without it. */
  readonly rsst?: { readonly lambda: number; readonly value: number };
  readonly unitNorms?: UnitNormsPoint;
}

// The page draws them, which imports no code that needs Node.js.
export type { KindNorms, NormSpread } from 'mamba-prune/pruning';

/** Other versions may have other norms. */
export interface UnitNormsPoint extends Omit<UnitNorms, 'norm'> {
  readonly norm: string;
}

export interface StepPoint {
  readonly x: number;
  readonly loss: number;
  readonly lr: number;
}

export interface PruningData {
  /** Shares that are asked for, per kind. */
  readonly rates: Readonly<Record<string, number>>;
  /** What was asked for in place of rates, which are then those that it came to: `MACs 0.3x`. */
  readonly budget?: readonly string[] | undefined;
  /** Shares that are gone, per kind; undefined before the last cut, and in records of older versions. */
  readonly reached?: Readonly<Record<string, number>> | undefined;
  readonly plannedRounds: number;
  readonly groups: readonly GroupData[];
  readonly rounds: readonly RoundData[];
}

export interface GroupData {
  readonly name: string;
  readonly kind: string;
  /** Before any cut ever. */
  readonly dense: number;
  /** Before the first cut of this run. */
  readonly before: number;
  /**
   * What became of every unit of the dense model, one character each: `-` was gone before this run,
   * `0` is still there, and the character 48 + j is gone since round j. Undefined if never cut.
   */
  readonly fate: string | undefined;
}

export interface RoundData {
  /** Counted from 1. */
  readonly round: number;
  readonly rates: Readonly<Record<string, number>>;
  /** Width of every group after the cut. */
  readonly widths: Readonly<Record<string, number>>;
  /** Units of the dense model that refill gave back, per group. */
  readonly returned: Readonly<Record<string, readonly number[]>>;
  readonly parameters: number;
  readonly macs: number;
  readonly accuracy: {
    readonly before: number | null;
    readonly afterCut: number | null;
    readonly after: number | null;
  };
  readonly finished: boolean;
  readonly scores: ScoresData | undefined;
}

/** The scores that a cut went by. */
export interface ScoresData {
  /** `l1 of consumer`, `group norm`. */
  readonly measure: string;
  readonly ranking: string;
  readonly normalize: string;
  readonly groups: readonly GroupScoresData[];
}

export interface GroupScoresData {
  readonly name: string;
  readonly kind: string;
  readonly min: number;
  readonly max: number;
  /** Little-endian uint16 in base64, one per unit: the place between `min` and `max`. */
  readonly scores: string;
  /** What became of each: `k` kept, `x` removed, `r` given back. */
  readonly fates: string;
}

export interface ComparisonData {
  readonly id: string;
  readonly arch: string;
  readonly dataset: string;
  readonly targets: readonly string[];
  /** Rates are shares of this cost; undefined for shares of the units. */
  readonly budget: 'macs' | 'params' | 'file' | undefined;
  readonly seeds: readonly number[];
  readonly epochs: number;
  readonly finetuneEpochs: number;
  readonly regularizedEpochs: number;
  /** Dense models that were not trained for the comparison; one is shared by all seeds. */
  readonly givenDense: number;
  readonly done: number;
  readonly planned: number;
  readonly repeat: RepeatCommand | undefined;
  readonly methods: readonly ComparedMethod[];
  readonly runs: readonly ComparedRun[];
  readonly tests: readonly ComparedTest[];
}

/** Other versions may have other methods. */
export interface ComparedMethod extends Omit<MethodResult, 'method'> {
  readonly method: string;
}

/** Of a run what pages show of it; what is before and after the cut, the page of the run itself has. */
export interface ComparedRun extends Omit<RunResult, 'method' | 'beforeCut' | 'afterCut'> {
  readonly method: string;
}

/** What the picture of a comparison shows. */
export interface PicturedComparison {
  readonly methods: readonly Pick<
    ComparedMethod,
    'method' | 'rate' | 'accuracy' | 'deviation' | 'macs'
  >[];
  readonly runs: readonly Pick<ComparedRun, 'method' | 'rate' | 'seed' | 'accuracy'>[];
}

/** Over a picture that stands alone. */
export interface PictureHeading {
  readonly title: string;
  readonly lines: readonly string[];
}

/** `pHolm` is null in results of older versions too. */
export interface ComparedTest extends Omit<MethodTest, 'methods' | 'deviation'> {
  readonly methods: readonly [string, string];
}

/** What the page needs to try a model, besides the model. */
export interface TryOutModel {
  readonly run: string;
  readonly classes: readonly string[];
  readonly channels: number;
  /** Of the square images that it takes, in pixels. */
  readonly side: number;
  /** How pictures are made so. */
  readonly preprocessing: Preprocessing;
  /** Test images; empty where the data set is not at hand. */
  readonly samples: readonly TryOutSample[];
}

export interface TryOutSample {
  /** Class number. */
  readonly label: number;
  /** data: URI of a PNG of the size that the model takes. */
  readonly image: string;
}

/** What the studio sends when something has changed. */
export interface StudioUpdate {
  /** Of all runs, in order. */
  readonly order: readonly string[];
  /** Those that changed. */
  readonly runs: readonly RunData[];
  readonly comparisons: readonly ComparisonData[];
  readonly notes: readonly string[];
}

/** Measured in one session, the models taking turns. */
export interface LatencyData {
  readonly device: string;
  readonly machine: string;
  readonly threads: number;
  readonly results: readonly {
    readonly run: string;
    readonly batch: number;
    readonly medianMs: number;
    readonly p10Ms: number;
    readonly p90Ms: number;
  }[];
}

export interface EvaluationData {
  readonly dataset: string;
  readonly classes: readonly string[];
  /** Images that were classified. */
  readonly images: number;
  /** Of how many there are. */
  readonly available: number;
  readonly runs: readonly {
    readonly run: string;
    readonly accuracy: number;
    /** Row by row, [true class][predicted class]. */
    readonly confusion: readonly number[];
  }[];
  readonly pairs: readonly DisagreementData[];
}

/** A dense and a pruned model on the same images. */
export interface DisagreementData {
  readonly dense: string;
  readonly pruned: string;
  /** Images of how many kinds. */
  readonly counts: {
    readonly bothRight: number;
    readonly bothWrong: number;
    readonly onlyDense: number;
    readonly onlyPruned: number;
  };
  /** Images on which the two differ, the surest first. */
  readonly examples: readonly DisagreementExample[];
}

export interface DisagreementExample {
  /** In the test split. */
  readonly index: number;
  readonly label: number;
  readonly dense: { readonly predicted: number; readonly probability: number };
  readonly pruned: { readonly predicted: number; readonly probability: number };
  /** data: URI of a PNG. */
  readonly image: string;
}
