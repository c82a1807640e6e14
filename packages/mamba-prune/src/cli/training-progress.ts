import { clock, digits, grouped, lossFigure, percent } from '../format.js';
import type { StepInfo, TrainHooks } from '../training/hooks.js';
import type { EpochMetrics } from '../training/metrics-lines.js';
import type { Context } from './context.js';
import { inFlags } from './flag-spelling.js';

/** A bar over the whole training, and one line per epoch; all on stderr. */
export class TrainingProgress {
  readonly #context: Context;
  readonly #label: string;
  #epochs = 0;
  #headed = false;
  #done = 0;
  #total = 0;

  constructor(context: Context, label: string) {
    this.#context = context;
    this.#label = label;
  }

  hooks(): Pick<TrainHooks, 'onStep' | 'onEpoch' | 'onEvaluate' | 'onNote'> {
    return {
      onStep: (info) => {
        this.#step(info);
      },
      onEpoch: (metrics) => {
        this.#epoch(metrics);
      },
      onEvaluate: (done, total) => {
        this.#context.progress.update(this.#done, {
          label: `${this.#label}, testing`,
          extra: percent(done / total, 0),
        });
      },
      onNote: (note) => {
        this.#context.note(inFlags(note, this.#context.flags));
      },
    };
  }

  #step({ epoch, epochs, step, stepsPerEpoch, loss, imagesPerSecond }: StepInfo): void {
    const { progress } = this.#context;
    this.#epochs = epochs;
    this.#done = (epoch - 1) * stepsPerEpoch + step;
    if (!progress.busy) {
      this.#total = epochs * stepsPerEpoch;
      progress.begin(this.#label, this.#total, 'img', this.#done - 1);
    }
    progress.update(this.#done, {
      label: `${this.#label} ${epoch}/${epochs}`,
      rate: imagesPerSecond,
      extra: `loss ${digits(loss)}`,
    });
  }

  #epoch(metrics: EpochMetrics): void {
    const { progress } = this.#context;
    const dim = progress.colours.dim;
    if (!this.#headed) {
      progress.line(dim(row('epoch', 'loss', 'train', 'test', 'lr', 'images/s', 'time')));
      this.#headed = true;
    }
    const { epoch, loss, trainAccuracy, lr, imagesPerSecond, seconds } = metrics;
    progress.line(
      row(
        `${epoch}/${Math.max(epoch, this.#epochs)}`,
        lossFigure(loss),
        percent(trainAccuracy),
        percent(metrics.emaAccuracy ?? metrics.valAccuracy),
        lr.toExponential(1),
        grouped(Math.round(imagesPerSecond)),
        clock(seconds),
      ),
    );
  }
}

// Room for 1000/1000 epochs, a loss of 1234.5678 and 100 hours, a blank before each.
const widths = [11, 10, 9, 9, 9, 11, 11];

function row(...cells: string[]): string {
  return cells.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('');
}
