// What no tensor tells of an imported model: classes, and how its images were prepared and normalised.
import { UsageError } from '../../errors.js';
import {
  type Interpolation,
  type Preprocessing,
  defaultPreprocessing,
  preprocessingProblem,
} from '../../preparation/preprocessing.js';
import { lengthProblem, rangeProblems } from '../file-checks.js';
import type { ModelConfigBase } from '../image-model.js';
import type { ModelInfo } from '../model-file.js';

/** What the caller says of it. */
export interface SaidInfo {
  /** What the model was trained on. */
  readonly dataset?: string | undefined;
  /** Names of the classes, in the order of the logits. By default unknown. */
  readonly classes?: readonly string[] | undefined;
  /** Per channel, of pixel values scaled to [0, 1]. By default ImageNet's for colour images. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  /** How images are resized. Default `bilinear`, or what the family's published models were trained with. */
  readonly interpolation?: Interpolation | undefined;
  /**
   * Share of the shorter side that the crop leaves, timm's crop_pct; 0.875 unless given, 1 for data sets whose
   * pictures have the model's size.
   */
  readonly cropShare?: number | undefined;
}

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/**
 * Information on a model that no tensor tells, as the caller says it or as it is usual.
 * @param published - how the family's published models have their images resized, if it says so
 * @throws UsageError for a list of another length than the model's, or values that no image has
 */
export function infoOf(
  { channels, numClasses }: ModelConfigBase,
  said: SaidInfo,
  published?: Interpolation,
): { info: Omit<ModelInfo, 'history'>; assumed: string[] } {
  const { dataset, classes = [] } = said;
  const [length] = [
    ...(said.classes ? lengthProblem('`classes`', said.classes, numClasses) : []),
    ...(said.mean ? lengthProblem('`mean`', said.mean, channels) : []),
    ...(said.std ? lengthProblem('`std`', said.std, channels) : []),
  ];
  if (length !== undefined) throw new UsageError(`import: ${length}`);
  const problem = preprocessingProblem(said);
  if (problem !== undefined) throw new UsageError(`import: ${problem}`);
  const [range] = rangeProblems(said.mean ?? [], said.std ?? []);
  if (range) {
    throw new UsageError(
      `import: got ${range.got} in \`${range.name}\`, expected ${range.expected}`,
    );
  }
  const usual = channels === 3 ? imagenet : { mean: [0.5], std: [0.5] };
  const of = (name: 'mean' | 'std'): number[] =>
    Array.from({ length: channels }, (_, i) => (said[name] ?? usual[name])[i] ?? 0.5);
  const usualWay = defaultPreprocessing(dataset);
  const preprocessing: Preprocessing = {
    interpolation: said.interpolation ?? published ?? usualWay.interpolation,
    cropShare: said.cropShare ?? usualWay.cropShare,
  };
  return {
    info: {
      ...(dataset !== undefined && { dataset }),
      classes: [...classes],
      mean: of('mean'),
      std: of('std'),
      preprocessing,
    },
    assumed: [
      ...(['mean', 'std'] as const)
        .filter((name) => said[name] === undefined)
        .map((name) => `${name} ${of(name).join('/')}`),
      ...(['interpolation', 'cropShare'] as const)
        .filter((name) => said[name] === undefined)
        .map((name) => `${name} ${preprocessing[name]}`),
    ],
  };
}
