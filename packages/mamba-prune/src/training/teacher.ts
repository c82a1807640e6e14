/** Whether a teacher can teach, found out before any work is done. */
import { noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { checksOf } from '../checks.js';
import type { DatasetInfo } from '../data/index.js';
import { UsageError } from '../errors.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { deviceOf } from './evaluate.js';
import type { Distillation } from './hooks.js';
import type { Trainable } from './trainable.js';

const where = 'distillation';

const words = {
  weight: { expected: "the teacher's share of the loss, from 0 to 1" },
  temperature: { expected: 'a number above 0 (1 to 4 are usual)' },
};

const distillationKinds: OptionKinds<Distillation> = {
  teacher: 'any',
  weight: 'number',
  temperature: 'number',
  images: 'function',
};

/**
 * Checks the numbers, and shows the teacher one black image of the data set's size: it must take it
 * and give one logit per class. The teacher is put into evaluation mode, where it stays.
 *
 * @param student - must be another model than the teacher, on the same device
 * @throws UsageError saying what does not fit
 */
export function checkTeacher(
  how: Distillation,
  student: Trainable,
  info: Pick<DatasetInfo, 'name' | 'channels' | 'height' | 'width' | 'classes'>,
): void {
  requireOptions(where, how, distillationKinds);
  const { weight, temperature = 1 } = how;
  const { number } = checksOf(where);
  number('weight', weight, { min: 0, max: 1 }, words.weight);
  number('temperature', temperature, { above: 0 }, words.temperature);
  // Only TypeScript keeps a caller from leaving it out.
  const teacher = how.teacher as Trainable | undefined;
  if (!teacher) {
    throw new UsageError(`${where}: got no teacher, expected a model. Load the dense one.`);
  }
  if (teacher === student) {
    throw new UsageError(
      `${where}: got the trained model itself as the teacher, expected another. Load it a second time.`,
    );
  }
  const device = deviceOf(student);
  if (deviceOf(teacher) !== device) {
    throw new UsageError(
      `${where}: got a teacher on ${deviceOf(teacher)}, expected it on ${device}, where the trained model is. Move it.`,
    );
  }
  teacher.eval();
  const size = `${info.channels} channels and ${info.width}x${info.height} px`;
  let shape: readonly number[];
  try {
    shape = scope(() =>
      noGrad(
        () => teacher.forward(zeros([1, info.channels, info.height, info.width], { device })).shape,
      ),
    );
  } catch (error) {
    throw new UsageError(
      `${where}: the teacher does not take the images of ${info.name} (${size}): ${(error as Error).message}`,
      { cause: error },
    );
  }
  const classes = info.classes.length;
  if (shape.length !== 2 || shape[1] !== classes) {
    throw new UsageError(
      `${where}: the teacher gives logits of shape [${shape.join(', ')}] for one image, expected [1, ${classes}], ` +
        `one per class of ${info.name}. Use a teacher that was trained on it.`,
    );
  }
}
