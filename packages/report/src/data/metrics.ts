// From the lines of metrics.jsonl to points on one axis over all trainings of a run.
import { type MetricsLine, readUnitNorms } from 'mamba-prune';
import type { EpochPoint, PhaseData, StepPoint } from './types.js';

/** Points of single steps that a page gets: more than it has pixels. */
const maxSteps = 2000;

type EpochLine = Extract<MetricsLine, { type: 'epoch' }>;

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
    ...{ phase, epoch, x, loss, trainAccuracy, valLoss, valAccuracy, lr, imagesPerSecond, seconds },
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

/** Epochs of the run before a phase; 0 for one that is not planned. */
const before = (phase: string, phases: readonly PhaseData[]): number =>
  phases.find(({ name }) => name === phase)?.before ?? 0;

function stepsPerEpoch(lines: readonly MetricsLine[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const line of lines) {
    if (line.type === 'epoch') result.set(line.phase, line.step / line.epoch);
  }
  return result;
}
