/**
 * The metrics of a run for TensorBoard: `tensorboard --logdir RUN/tensorboard`, or the folder above
 * several runs.
 *
 * metrics.jsonl stays the one record of a run. The event file is made from it, and a training that is
 * resumed cuts both back to its checkpoint.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { UsageError } from '../errors.js';
import { makeFolder } from '../files/folder.js';
import { type NormSpread, normBins, normQuantiles, readUnitNorms } from '../pruning/rsst/index.js';
import { RunFolderError } from '../training/errors.js';
import type { TrainHooks } from '../training/hooks.js';
import type { EpochMetrics } from '../training/metrics-lines.js';
import { RunFolder } from '../training/run-folder.js';
import { type Histogram, type SummaryValue, encodeEvent, fileVersion } from './event-file.js';

/** The run's event file: always the same, so that a TensorBoard that is open goes on reading it. */
export function eventFilePath(run: RunFolder): string {
  const seconds = Math.floor(Date.parse(run.config.created) / 1000);
  return join(run.path, 'tensorboard', `events.out.tfevents.${seconds}.mamba-prune`);
}

/**
 * Writes the event file of everything that metrics.jsonl has, leaving the part that is right already:
 * lines that a resumed training does again are cut off first. For runs that were made without
 * TensorBoard too.
 * @returns the file's path
 * @throws RunFolderError if it cannot be written
 */
export function writeEventFile(run: RunFolder): string {
  if (!((run as unknown) instanceof RunFolder)) {
    throw new UsageError('writeEventFile: got no run, expected what RunFolder.open gives.');
  }
  const created = Date.parse(run.config.created) / 1000;
  const epochs = run.readMetrics().filter((line) => line.type === 'epoch');
  const records = epochs.map((line) => epochRecord(line, created));
  const path = eventFilePath(run);
  matchFile(path, Buffer.concat([encodeEvent(fileVersion(created)), ...records]));
  return path;
}

/**
 * Keeps the event file up to date: give them to the trainings of a run, resumed or not; `composeHooks`
 * puts them beside others.
 * @param path - the run's folder, which need not be there yet
 */
export function tensorboardHooks(path: string): Required<Pick<TrainHooks, 'onEpoch'>> {
  return {
    // All of it each time: it is a matter of milliseconds, and right whatever was resumed from where.
    onEpoch: () => {
      writeEventFile(RunFolder.open(path));
    },
  };
}

/** Told otherwise than as scalars. */
const apart: ReadonlySet<string> = new Set(['epoch', 'step', 'unitNorms']);

/** All numbers of an epoch's line, as `phase/name`, and the unit norms' histograms. */
function epochRecord(line: EpochMetrics, created: number): Buffer {
  const { phase, epoch } = line;
  const values: SummaryValue[] = [];
  collect(
    phase,
    Object.entries(line).filter(([name]) => !apart.has(name)),
    values,
  );
  for (const [kind, norms] of Object.entries(readUnitNorms(line)?.kinds ?? {})) {
    const tag = `${phase}/unitNorms/${kind}`;
    for (const part of ['kept', 'doomed'] as const) {
      const spread = norms[part];
      if (!spread) continue;
      values.push({ tag: `${tag}/${part}`, histo: histogramOf(spread, norms.max) });
      values.push({ tag: `${tag}/${part}Mean`, simple_value: spread.mean });
    }
    if (norms.doomedShare !== undefined) {
      values.push({ tag: `${tag}/doomedShare`, simple_value: norms.doomedShare });
    }
  }
  // Interruptions are left out of `seconds`, and so of this time.
  return encodeEvent({
    wall_time: created + line.seconds,
    step: epoch,
    summary: { value: values },
  });
}

/** Numbers at any depth; text, lists and nulls are no scalars. */
function collect(
  prefix: string,
  entries: readonly (readonly [string, unknown])[],
  values: SummaryValue[],
): void {
  for (const [name, value] of entries) {
    const tag = `${prefix}/${name}`;
    if (typeof value === 'number') values.push({ tag, simple_value: value });
    else if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      collect(tag, Object.entries(value), values);
    }
  }
}

/** From equal bins; the sum of squares, which no view of TensorBoard shows, is that of their middles. */
function histogramOf({ units, mean, quantiles, histogram }: NormSpread, max: number): Histogram {
  const width = max / normBins;
  const middle = (bin: number): number => (bin + 0.5) * width;
  return {
    min: quantiles[0] ?? 0,
    max: quantiles[normQuantiles.length - 1] ?? 0,
    num: units,
    sum: mean * units,
    sum_squares: histogram.reduce((sum, count, bin) => sum + count * middle(bin) ** 2, 0),
    bucket_limit: histogram.map((_, bin) => (bin + 1) * width),
    bucket: histogram,
  };
}

/** Gives a file this content, writing only from the first byte on that differs. */
function matchFile(path: string, content: Buffer): void {
  try {
    makeFolder(dirname(path));
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK);
    try {
      if (!fstatSync(fd).isFile()) throw new Error('it is no regular file');
      const present = readFileSync(fd);
      let same = 0;
      while (same < present.length && present[same] === content[same]) same++;
      ftruncateSync(fd, same);
      for (let at = same; at < content.length;) {
        at += writeSync(fd, content, at, content.length - at, at);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new RunFolderError(
      path,
      `cannot write ${path}: ${code ?? message}. ` +
        'Free some space or make the folder writable, then resume; or go on without TensorBoard.',
      { cause: error },
    );
  }
}
