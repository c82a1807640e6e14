/** The loss of a training step. */
import { F, noGrad, type Tensor } from '@mamba-prune/libtorch';
import { meanCrossEntropy } from '@mamba-prune/libtorch/kernels';
import type { Distillation } from './hooks.js';
import type { StepContext } from './step-context.js';

/** Cross-entropy with class numbers, or with the soft targets of mixup and cutmix where given. */
export function classificationLoss(
  context: Pick<StepContext, 'logits' | 'labels' | 'targets'>,
  labelSmoothing: number,
): Tensor {
  return meanCrossEntropy(context.logits, context.targets ?? context.labels, { labelSmoothing });
}

/**
 * KL divergence of the student's softened output from the teacher's, times temperature squared, so
 * that its gradient keeps its size (Hinton et al. 2015, arXiv 1503.02531, section 2).
 * @param student - logits [batch, classes], with gradients
 * @param teacher - logits [batch, classes], taken as constants
 * @returns 0-d, the mean over the batch
 */
export function distillationLoss(student: Tensor, teacher: Tensor, temperature = 1): Tensor {
  const expected = noGrad(() => teacher.detach().div(temperature).logSoftmax(-1));
  const got = student.div(temperature).logSoftmax(-1);
  const divergence = expected.exp().mul(expected.sub(got)).sum(-1).mean();
  return divergence.mul(temperature * temperature);
}

/** Mixes a task loss with the teacher's. */
export function distilledLoss(task: Tensor, context: StepContext, how: Distillation): Tensor {
  const { teacher, weight, temperature = 1, images = (given: Tensor) => given } = how;
  const logits = noGrad(() => F.atLeastFloat32(teacher.forward(images(context.images))));
  const term = distillationLoss(context.logits, logits, temperature);
  return task.mul(1 - weight).add(term.mul(weight));
}
