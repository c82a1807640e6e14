// How a data set is trained on by a preset: what its file says, and what a preset makes of it.
import type { Interpolation } from '../preparation/preprocessing.js';

export const presetNames = ['fast', 'standard', 'best'] as const;
export type PresetName = (typeof presetNames)[number];

/** Training anew, or after a cut. */
export type TrainingPhase = 'train' | 'finetune';

/** What a preset decides: part of the options of a training. */
export interface PresetRecipe {
  readonly epochs: number;
  readonly batchSize: number;
  readonly optimizer: 'adamw' | 'muon' | 'sgd';
  readonly lr: number;
  readonly weightDecay: number;
  readonly schedule: 'cosine' | 'constant' | 'multistep';
  readonly warmupEpochs: number;
  readonly minLrFactor: number;
  readonly labelSmoothing: number;
  readonly clipGradNorm: number | null;
  readonly emaDecay: number | null;
  /** Name of an augmentation preset. */
  readonly augment: string;
  /** Alpha of mixup and of cutmix, in place of the augmentation preset's; 0 for none. */
  readonly mixup: number;
  readonly cutmix: number;
  /** Last epochs without either, where that was found to be good. */
  readonly plainEpochs?: number;
}

/** Options of a model of some family that were found to be better on a data set than the family's own. */
export interface ModelHints {
  /** How a vision Mamba scans. */
  readonly scan?: 'uni' | 'bi' | 'cross';
  readonly [option: string]: unknown;
}

/** What differs between data sets. */
export interface DatasetRecipe {
  readonly batchSize: number;
  /** Highest learning rate of a training anew. */
  readonly lr: number;
  /** Passes over the training images. */
  readonly epochs: Readonly<Record<TrainingPhase, Readonly<Record<PresetName, number>>>>;
  /** How a preset's new models have the images resized. By default as without a preset, `bilinear`. */
  readonly interpolation?: Interpolation;
  /** Names of augmentation presets: none, standard, strong, imagenet or imagenet-strong. */
  readonly augment: Readonly<Record<PresetName, string>>;
  /** Name of the augmentation of a training without a preset. Default `standard`. */
  readonly usualAugment?: string;
  /** By the name of a family of models (`mamba`): options of a model that is trained anew by a preset. */
  readonly models?: Readonly<Partial<Record<string, ModelHints>>>;
  /** What was found by measurement, in place of what the presets' general rules give. */
  readonly found?: Readonly<
    Partial<Record<PresetName, Readonly<Partial<Record<TrainingPhase, Partial<PresetRecipe>>>>>>
  >;
}
