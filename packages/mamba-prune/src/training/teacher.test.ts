import { nn, tensor, type Tensor } from '@mamba-prune/libtorch';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { type Distillation, RunFolder } from './index.js';
import { classificationLoss, distilledLoss } from './losses.js';
import type { StepContext } from './step-context.js';
import { checkTeacher } from './teacher.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, toyInfo, ToyModel, toyOptions, toyRun } from './testing/toy.js';
import { train } from './trainer.js';

/** Gives logits that were decided before. */
class Fixed extends nn.Module {
  readonly logits: Tensor;

  constructor(logits: Tensor) {
    super();
    this.logits = logits;
  }

  forward(): Tensor {
    return this.logits;
  }
}

/** For images of nine pixels. */
class Linear9 extends nn.Module {
  readonly #layer = this.child('layer', new nn.Linear(9, 3));

  forward(images: Tensor): Tensor {
    return this.#layer.forward(images.flatten(1));
  }
}

describe('distilledLoss', () => {
  it("is PyTorch's kl_div at a temperature, mixed with the labels, gradients included", () => {
    // From PyTorch 1.13 in float64: kl_div(log_softmax(s / 3), softmax(t / 3), 'batchmean') * 9 is
    // 0.5029384165016823, cross_entropy(s, [0, 2], label_smoothing=0.1) 1.752701508029291.
    const options = { dtype: 'float64' } as const;
    const student = tensor(
      [
        [1.5, -0.5, 0.25],
        [0.1, 2, -1],
      ],
      options,
    );
    student.requiresGrad = true;
    const teacher = new Fixed(
      tensor(
        [
          [2, 0.5, -1],
          [-0.3, 1, 0.7],
        ],
        options,
      ),
    );
    const labels = tensor([0, 2], { dtype: 'int64' });
    const context = { logits: student, labels, images: student } as unknown as StepContext;
    const task = classificationLoss(context, 0.1);
    const how = { teacher, temperature: 3 };
    // float64: the last digits of a few logarithms.
    expect(task.item()).toBeCloseTo(1.752701508029291, 12);
    const mixed = distilledLoss(task, context, { ...how, weight: 0.7 });
    expect(mixed.item()).toBeCloseTo(0.3 * 1.752701508029291 + 0.7 * 0.5029384165016823, 12);
    const alone = distilledLoss(task, context, { ...how, weight: 1 });
    expect(alone.item()).toBeCloseTo(0.5029384165016823, 12);
    alone.backward();
    const expected = [
      -0.06932192598932582, -0.10633133727153594, 0.17565326326086175, 0.03845140712981391,
      0.20251244238891894, -0.24096384951873298,
    ];
    student.grad?.toNumbers().forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? NaN, 12);
    });
    expect(student.grad?.numel).toBe(6);
  });
});

describe('checkTeacher', () => {
  const student = new ToyModel();
  const check = (how: Partial<Distillation>) => () => {
    checkTeacher({ teacher: new ToyModel(9), weight: 0.5, ...how }, student, toyInfo);
  };

  it('puts a teacher that fits into evaluation mode', () => {
    const teacher = new ToyModel(9).train();
    check({ teacher, weight: 1, temperature: 4 })();
    expect(teacher.training).toBe(false);
  });

  it.each<[string, Partial<Distillation>, RegExp]>([
    [
      'is missing',
      { teacher: undefined as unknown as ToyModel },
      /got no teacher, expected a model/,
    ],
    ['is the student', { teacher: student }, /got the trained model itself/],
    ['has other classes', { teacher: new ToyModel(1, 4, 5) }, /shape \[1, 5\].*expected \[1, 3\]/],
    ['takes other images', { teacher: new Linear9() }, /does not take the images of bars \(1 chan/],
    ['has a weight above 1', { weight: 1.5 }, /weight: got 1\.5, expected/],
    ['has a weight that is no number', { weight: NaN }, /weight: got NaN/],
    ['has no temperature', { temperature: 0 }, /temperature: got 0, expected a number above 0/],
  ])('refuses one that %s', (_what, how, message) => {
    expect(check(how)).toThrow(UsageError);
    expect(check(how)).toThrow(message);
  });
});

describe('train', () => {
  const folder = eachTestsFolder();

  it('refuses a teacher that does not fit before anything is written', async () => {
    const run = RunFolder.create(join(folder.path, 'run'), toyRun);
    const distillation = { teacher: new ToyModel(1, 4, 5), weight: 0.5 };
    const training = train(new ToyModel(), toyDataset(), toyOptions, run, { distillation });
    await expect(training).rejects.toThrow(UsageError);
    expect(existsSync(run.lastCheckpoint)).toBe(false);
    expect(existsSync(run.metricsPath)).toBe(false);
    run.release();
  });
});
