// What is said of the teacher of a training, and whether its file is the one that is meant.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { distributed } from '@mamba-prune/libtorch';
import { modelFileOf } from '../boxed-models.js';
import { checksOf } from '../checks.js';
import { UsageError } from '../errors.js';
import { whyMissing } from '../files/missing.js';
import type { ImportOptions } from '../models/import/model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
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
        ? `train: the teacher ${teacher} ${whyMissing(teacher)}, expected the file of a model. Give another \`teacher\`.`
        : `train: the teacher ${teacher} does not exist any more. Put it back, or say where it lies now (\`teacher\`).`,
    );
  }
  // What the run was told of the file, and found beside it, is true of it wherever it lies.
  const said = began?.import || given.import ? { ...began?.import, ...given.import } : undefined;
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
