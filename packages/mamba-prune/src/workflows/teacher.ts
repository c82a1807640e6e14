// A model of a file as the teacher of a training: whether the two go together, and pixels as the teacher knows them.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Tensor, type distributed, tensor } from '@mamba-prune/libtorch';
import { modelFileOf } from '../boxed-models.js';
import { checksOf } from '../checks.js';
import type { DatasetInfo } from '../data/types.js';
import { UsageError } from '../errors.js';
import type { ImportOptions } from '../models/import/model.js';
import type { ImageModel } from '../models/image-model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { Distillation } from '../training/hooks.js';
import { checkClassNames } from './class-names.js';
import { checkFits } from './fit.js';
import { type OpenedModelFile, openModelFile } from './open-model-file.js';
import { digestOf } from './prune/source.js';
import { checkSame } from './settings.js';

/** Another model teaches: its outputs are targets beside the labels (Hinton et al. 2015, arXiv 1503.02531). */
export interface TeacherSettings {
  /** The teacher's file: one of ours, or anything that `importModel` reads. */
  readonly teacher: string;
  /** What a file of another program does not tell of its model. */
  readonly import?: ImportOptions | undefined;
  /** That the file must have. By default found, and kept in config.json: a resumed training must have the same teacher. */
  readonly sha256?: string | undefined;
  /** Share of the teacher in the loss, above 0 up to 1. Default `0.5`. */
  readonly weight?: number | undefined;
  /** Softens both outputs. Default `1`. */
  readonly temperature?: number | undefined;
}

const teacherKinds: OptionKinds<TeacherSettings> = {
  teacher: 'string',
  import: 'object',
  sha256: 'string',
  weight: 'number',
  temperature: 'number',
};

/** With all that a training needs to know of it. */
export interface ResolvedTeacher extends TeacherSettings {
  readonly sha256: string;
  readonly weight: number;
  readonly temperature: number;
}

export interface OpenedTeacher {
  readonly distillation: Distillation;
  readonly model: ImageModel;
  /** What a user should know of how its file was read; whole sentences. */
  readonly notes: readonly string[];
  dispose(): void;
}

/**
 * Checks the numbers, and that the file is there and the one that the run began with.
 * @param began - the settings of the run that goes on
 * @throws UsageError
 */
export function resolveTeacher(given: TeacherSettings, began?: TeacherSettings): ResolvedTeacher {
  const { number } = checksOf('train');
  requireOptions('train: distill', given, teacherKinds, ['teacher']);
  const { weight = 0.5, temperature = 1 } = given;
  number('distill', weight, { above: 0, max: 1 });
  number('temperature', temperature, { above: 0 });
  const teacher = resolve(modelFileOf(given.teacher));
  if (!existsSync(teacher)) {
    throw new UsageError(
      began === undefined
        ? `train: the teacher ${teacher} does not exist, expected the file of a model. Give another \`teacher\`.`
        : `train: the teacher ${teacher} does not exist any more. Put it back, or say where it lies now (\`teacher\`).`,
    );
  }
  // What the run was told of the file is true of it wherever it lies.
  const said = given.import ?? began?.import;
  if (began) {
    checkSame(
      'teacher',
      { 'distill.weight': weight, temperature, 'distill.import': said },
      {
        'distill.weight': began.weight,
        temperature: began.temperature,
        'distill.import': began.import,
      },
    );
  }
  const sha256 = digestOf(teacher);
  if (began?.sha256 !== undefined && began.sha256 !== sha256) {
    throw new UsageError(
      `train: the teacher ${teacher} is not the one that the run began with: its SHA-256 is ${sha256}, expected ` +
        `${began.sha256}. Put that one back, or say where it lies now (\`teacher\`).`,
    );
  }
  if (given.sha256 !== undefined && given.sha256 !== sha256) {
    throw new UsageError(
      `train: the teacher ${teacher} is not the one that was asked for: its SHA-256 is ${sha256}, expected ` +
        `${given.sha256}. Give the right file (\`teacher\`), or leave \`sha256\` out.`,
    );
  }
  return {
    teacher,
    sha256,
    weight,
    temperature,
    ...(said !== undefined && { import: said }),
  };
}

/**
 * Every worker reads the teacher's file from its own disk.
 * @throws UsageError in a worker whose teacher is not that of rank 0
 */
export function checkSameEverywhere(
  { teacher, sha256 }: ResolvedTeacher,
  group: Pick<distributed.ProcessGroup, 'broadcastText'>,
): void {
  const expected = group.broadcastText(sha256);
  if (sha256 === expected) return;
  throw new UsageError(
    `train: the teacher ${teacher} is not that of rank 0: its SHA-256 is ${sha256}, expected ${expected}. ` +
      'Put the same file there on every machine.',
  );
}

/**
 * @returns the caller's to dispose
 * @throws UsageError if the teacher does not take the images or names other classes; FormatError
 */
export async function openTeacher(
  { teacher: path, import: said, weight, temperature }: ResolvedTeacher,
  info: DatasetInfo,
  device: string,
): Promise<OpenedTeacher> {
  const { model, info: own, assumed, notes } = await openedAt(path, said, info);
  const made: Tensor[] = [];
  const dispose = (): void => {
    model.dispose();
    for (const tensor of made) tensor.dispose();
  };
  try {
    asTeacher(path, () => {
      checkFits(model.config, info);
      checkClassNames(info, own.classes, false);
    });
    model.to(device);
    // Pixels that were assumed are no more the teacher's than those of the data.
    const isKnown = !assumed.some((text) => ofPixels.test(text));
    const images = isKnown ? renormalization(info, own, device, made) : undefined;
    return {
      model,
      distillation: { teacher: model, weight, temperature, ...(images && { images }) },
      notes: [...notes.map((note) => `${path}: ${note}`), ...assumedNotes(path, assumed)],
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

const ofPixels = /^(?:mean|std) /;
/** The images are prepared for the student. */
const ofPreparation = /^(?:interpolation|cropShare) /;

function assumedNotes(path: string, assumed: readonly string[]): string[] {
  const rest = assumed.filter((text) => !ofPixels.test(text) && !ofPreparation.test(text));
  return [
    rest.length > 0 && `The teacher ${path}: nothing tells ${rest.join(', ')}, which was assumed.`,
    assumed.some((text) => ofPixels.test(text)) &&
      `The teacher ${path}: nothing tells how its pixels were normalised, so it is shown them as the images of the training are.`,
  ].filter((note) => note !== false);
}

/** Where no shape tells the size of its images, as with a ResNet, the teacher sees those of the data as they are. */
async function openedAt(
  path: string,
  said: ImportOptions | undefined,
  { width, height }: DatasetInfo,
): Promise<OpenedModelFile> {
  const opened = await openModelFile(path, said);
  const isSized = !opened.assumed.some((text) => text.startsWith('imageSize '));
  if (opened.isOurs || isSized || width !== height || opened.model.config.imageSize === height) {
    return opened;
  }
  opened.model.dispose();
  return openModelFile(path, { ...said, imageSize: height });
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
