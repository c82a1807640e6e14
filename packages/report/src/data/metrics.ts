// From the lines of metrics.jsonl to points on one axis over all trainings of a run.
import { DataError } from 'mamba-prune';
import { readUnitNorms } from 'mamba-prune/pruning';
import type { MetricsLine } from 'mamba-prune/training';
import { z } from 'zod';
import type { EpochPoint, PhaseData, StepPoint } from '../page-data/epochs.js';

/** Points of single steps that a page gets: more than it has pixels. */
const maxSteps = 2000;

type EpochLine = Extract<MetricsLine, { type: 'epoch' }>;

const measured = z.number().nullable();
const spread = z.object({
  units: z.number(),
  mean: z.number(),
  quantiles: z.array(z.number()),
  histogram: z.array(z.number()),
});

/** What a page draws of an epoch's line: anything else in its place would stop the page. */
const epochSchema = z.object({
  type: z.literal('epoch'),
  phase: z.string(),
  epoch: z.number(),
  step: z.number(),
  loss: z.number(),
  trainAccuracy: z.number(),
  valLoss: measured,
  valAccuracy: measured,
  lr: z.number(),
  imagesPerSecond: z.number(),
  seconds: z.number(),
  emaAccuracy: measured.optional(),
  gradNorm: z.number().optional(),
  rsst: z.object({ lambda: z.number(), value: z.number() }).optional(),
  unitNorms: z
    .object({
      norm: z.string(),
      kinds: z.record(
        z.string(),
        z.object({
          max: z.number(),
          kept: spread,
          doomed: spread.optional(),
          doomedShare: z.number().optional(),
        }),
      ),
    })
    .optional(),
});

/** @throws DataError naming a line that is not as the page needs it */
export function checkLines(path: string, lines: readonly MetricsLine[]): void {
  lines.forEach((line, i) => {
    if (line.type !== 'epoch') return;
    const parsed = epochSchema.safeParse(line);
    if (parsed.success) return;
    throw new DataError(
      `line ${i + 1} of ${path} is not the line of an epoch: ${z.prettifyError(parsed.error)}. Remove it.`,
      { file: path },
    );
  });
}

export function epochPoints(
  lines: readonly MetricsLine[],
  phases: readonly PhaseData[],
): EpochPoint[] {
  return lines
    .filter((line) => line.type === 'epoch')
    .map((line) => epochPoint(line, before(line.phase, phases) + line.epoch));
}

function epochPoint(line: EpochLine, x: number): EpochPoint {
  const { phase, epoch, loss, trainAccuracy, valLoss, valAccuracy, lr } = line;
  const { emaAccuracy, gradNorm, imagesPerSecond, seconds } = line;
  const { rsst } = line as { rsst?: { lambda: number; value: number } };
  const unitNorms = readUnitNorms(line);
  return {
    phase,
    epoch,
    x,
    loss,
    trainAccuracy,
    valLoss,
    valAccuracy,
    lr,
    imagesPerSecond,
    seconds,
    ...(emaAccuracy !== undefined && { emaAccuracy }),
    ...(gradNorm !== undefined && { gradNorm }),
    ...(rsst && { rsst }),
    ...(unitNorms && { unitNorms }),
  };
}

/** Lines of single steps (`--log-every`), every n-th of them. */
export function stepPoints(
  lines: readonly MetricsLine[],
  phases: readonly PhaseData[],
): StepPoint[] {
  const steps = lines.filter((line) => line.type === 'step');
  const perEpoch = stepsPerEpoch(lines);
  const every = Math.max(1, Math.ceil(steps.length / maxSteps));
  return steps
    .filter((_, i) => i % every === 0)
    .map(({ phase, epoch, step, loss, lr }) => {
      const length = perEpoch.get(phase);
      const done = length === undefined ? epoch - 1 : step / length;
      return { x: before(phase, phases) + done, loss, lr };
    });
}

/** Epochs of the run before the training of a phase; 0 for one that is not planned. */
function before(phase: string, phases: readonly PhaseData[]): number {
  const found = phases.find(({ name }) => name === phase);
  return found ? found.before - (found.epochsBefore ?? 0) : 0;
}

function stepsPerEpoch(lines: readonly MetricsLine[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const line of lines) {
    if (line.type === 'epoch') result.set(line.phase, line.step / line.epoch);
  }
  return result;
}
