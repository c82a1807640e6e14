// A model of a file as the teacher of a training: whether the two go together, and pixels as the teacher knows them.
import { type Tensor, tensor } from '@mamba-prune/libtorch';
import type { DatasetInfo } from '../data/types.js';
import { UsageError } from '../errors.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import type { ImportOptions } from '../models/import/model.js';
import { createModelFromConfig } from '../models/registry.js';
import type { Distillation } from '../training/hooks.js';
import { shownFile } from '../hub/shown-file.js';
import { checkClassNames } from './class-names.js';
import { checkFits } from './fit.js';
import { type OpenedModelFile, openAsItIs } from './open-model-file.js';
import type { ResolvedTeacher } from './teacher.js';

/** What a run says of its teacher. */
export interface TeacherFacts {
  /** Its file. */
  readonly model: string;
  /** Share of the teacher in the loss. */
  readonly weight: number;
  readonly temperature: number;
  /** What nothing tells of it and nobody said, with the value taken. */
  readonly assumed: readonly string[];
  /** What of its file was taken from where, dropped or converted; whole sentences. */
  readonly notes: readonly string[];
}

/** A teacher whose file has been read, once. Whoever opens it disposes it. */
export class OpenedTeacher {
  readonly #told: ResolvedTeacher;
  readonly #file: Omit<OpenedModelFile, 'model' | 'assumed'>;
  #model: ImageModel;
  #assumed: readonly string[];
  readonly #made: Tensor[] = [];

  private constructor(told: ResolvedTeacher, opened: OpenedModelFile) {
    this.#told = told;
    this.#file = opened;
    this.#model = opened.model;
    this.#assumed = opened.assumed;
  }

  /** @throws UntoldModelError; FormatError, UsageError as `openModelFile` */
  static async open(told: ResolvedTeacher): Promise<OpenedTeacher> {
    return new OpenedTeacher(told, await openAsItIs(told.teacher, told.import));
  }

  /** With which the file alone gives the same model, whatever lies beside it then. */
  get options(): ImportOptions {
    return this.#file.options;
  }

  get facts(): TeacherFacts {
    const { teacher: model, weight, temperature } = this.#told;
    return { model, weight, temperature, assumed: this.#assumed, notes: this.#file.notes };
  }

  /** What a user should know of how it was read; whole sentences. */
  get notes(): readonly string[] {
    const name = shownFile(this.#told.teacher);
    const notes = this.#file.notes.map((note) => `${name}: ${note}`);
    return [...notes, ...assumedNotes(name, this.#assumed)];
  }

  /**
   * Makes it ready for the images of a training.
   * @throws UsageError if it does not take them, or names other classes
   */
  teach(data: DatasetInfo, device: string): Distillation {
    const { teacher: path, weight, temperature } = this.#told;
    this.#takeSizeOf(data);
    asTeacher(path, () => {
      checkFits(this.#model.config, data);
      checkClassNames(data, this.#file.info.classes, false);
    });
    this.#model.to(device);
    // Pixels that were assumed are no more the teacher's than those of the data.
    const isKnown = !this.#assumed.some((text) => ofPixels.test(text));
    const images = isKnown ? renormalization(data, this.#file.info, device, this.#made) : undefined;
    return { teacher: this.#model, weight, temperature, ...(images && { images }) };
  }

  /** Where no shape tells the size of its images, as with a ResNet, it sees those of the data as they are. */
  #takeSizeOf({ width, height }: DatasetInfo): void {
    const { config } = this.#model;
    const isSized = !this.#assumed.some((text) => ofSize.test(text));
    if (this.#file.isOurs || isSized || width !== height) return;
    this.#assumed = this.#assumed.filter((text) => !ofSize.test(text));
    if (config.imageSize === height) return;
    const wanted: ModelConfigBase = { ...config, imageSize: height };
    const sized = createModelFromConfig(wanted);
    try {
      sized.loadStateDict(this.#model.stateDict());
      sized.eval();
    } catch (error) {
      sized.dispose();
      throw error;
    }
    this.#model.dispose();
    this.#model = sized;
  }

  dispose(): void {
    this.#model.dispose();
    for (const made of this.#made) made.dispose();
  }
}

const ofSize = /^imageSize /;
const ofPixels = /^(?:mean|std) /;
/** The images are prepared for the student. */
const ofPreparation = /^(?:interpolation|cropShare) /;

function assumedNotes(name: string, assumed: readonly string[]): string[] {
  const rest = assumed.filter((text) => !ofPixels.test(text) && !ofPreparation.test(text));
  return [
    rest.length > 0 && `The teacher ${name}: nothing tells ${rest.join(', ')}, which was assumed.`,
    assumed.some((text) => ofPixels.test(text)) &&
      `The teacher ${name}: nothing tells how its pixels were normalised, so it is shown them as the images of the training are.`,
  ].filter((note) => note !== false);
}

function asTeacher(path: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    // What it says, without its advice, which is for a model that is to be trained or measured. Names of classes may have points.
    const [problem = ''] = error.message
      .replace(/^the model /, '')
      .split(/\. (?=Use the data set|These are|If these|Otherwise)/);
    throw new UsageError(
      `train: the teacher ${path} ${problem}, as the teacher has it. Use one that was trained on images and classes of these data, in the same order.`,
      { cause: error },
    );
  }
}

type Pixels = Pick<DatasetInfo, 'mean' | 'std'>;

/** From pixels normalised as the data are to pixels normalised as the teacher's were; undefined where these are the same. */
function renormalization(
  data: Pixels,
  teacher: Pixels,
  device: string,
  made: Tensor[],
): ((images: Tensor) => Tensor) | undefined {
  const scale = data.std.map((std, i) => std / (teacher.std[i] ?? std));
  const shift = data.mean.map(
    (mean, i) => (mean - (teacher.mean[i] ?? mean)) / (teacher.std[i] ?? 1),
  );
  if (scale.every((value) => value === 1) && shift.every((value) => value === 0)) return undefined;
  const perChannel = (values: readonly number[]): Tensor =>
    tensor(
      values.map((value) => [[value]]),
      { device },
    );
  const [factors, offsets] = [perChannel(scale), perChannel(shift)];
  made.push(factors, offsets);
  return (images) => images.mul(factors).add(offsets).to(images.dtype);
}
