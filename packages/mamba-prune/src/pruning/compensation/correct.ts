// Readers corrected one after the other: fitted on most images, judged on the others.
import { type Tensor, scope } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import { type CompensationTarget, dampings } from './choices.js';
import { type CalibrationImages, type Judge, freeBatch } from './held-out.js';
import { Fit, type Part, free } from './fit.js';
import type { LinearMap } from './moments.js';
import { observe } from './observe.js';
import type { Reader, Seen } from './readers.js';

/** What was done to the weights that read a group. */
export interface GroupCompensation {
  readonly group: string;
  /** λ over the mean diagonal of the normal equations; null where no correction was made. */
  readonly ridge: number | null;
  /** Share of the correction that was made; 0 where none was. */
  readonly damping: number;
  /**
   * What the reader gives less than in the dense model, on the images held out: its mean square, over that of what it
   * gives in the dense model.
   */
  readonly error: { readonly before: number; readonly after: number };
}

export interface CorrectionJob {
  /** Before the cut. */
  readonly model: ImageModel;
  readonly cut: ImageModel;
  readonly calibration: CalibrationImages;
  readonly target: CompensationTarget;
  readonly ridges: readonly number[];
  /** Of one pass over the images. */
  readonly batches: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Of the model as it is, judged as a whole. */
interface Judgement {
  readonly judge: Judge;
  now: number;
}

/**
 * @param readers - in the order of the network
 * @param judgement - updated. Without it each correction is judged by the error of its layer.
 */
export async function correctReaders(
  readers: readonly Reader[],
  job: CorrectionJob,
  judgement: Judgement | undefined,
): Promise<GroupCompensation[]> {
  // What is fitted to the dense model's units needs one pass; else those before have to be corrected first.
  const stages = job.target === 'fold' ? [readers] : readers.map((reader) => [reader]);
  const groups: GroupCompensation[] = [];
  for (const [stage, members] of stages.entries()) {
    const fits = members.map((reader) => new Fit(reader));
    try {
      await observeAll(fits, job, { stage, of: stages.length });
      for (const fit of fits) groups.push(await correct(fit, job, judgement));
    } finally {
      for (const fit of fits) fit.dispose();
    }
  }
  return groups;
}

async function observeAll(
  fits: readonly Fit[],
  { model, cut, calibration, target, batches, onProgress }: CorrectionJob,
  { stage, of }: { readonly stage: number; readonly of: number },
): Promise<void> {
  let first = 0;
  let done = stage * batches;
  for await (const batch of calibration()) {
    try {
      const { images } = batch;
      const part = { first, count: images.size(0) };
      first += part.count;
      scope(() => {
        if (target === 'fold') observeDense(fits, model, images, part);
        else for (const fit of fits) observeBoth(fit, { model, cut, target }, images, part);
      });
    } finally {
      freeBatch(batch);
    }
    onProgress?.(++done, of * batches);
  }
}

function observeDense(fits: readonly Fit[], model: ImageModel, images: Tensor, part: Part): void {
  const byGroup = new Map(fits.map((fit) => [fit.reader.group.name, fit]));
  observe(model, images, [...byGroup.keys()], (group, { units }) => {
    const fit = byGroup.get(group) as Fit;
    const { reader } = fit;
    const x = reader.kept(units).to('float64');
    fit.add(part, units, x, reader.missing(units, x));
  });
}

function observeBoth(
  fit: Fit,
  { model, cut, target }: Pick<CorrectionJob, 'model' | 'cut' | 'target'>,
  images: Tensor,
  part: Part,
): void {
  const { reader } = fit;
  const group = reader.group.name;
  const dense = seenIn(model, images, group);
  observe(cut, images, [group], (_, { units, stream }) => {
    const x = units.to('float64');
    const missing = reader.missing(dense.units, x);
    const lost =
      target === 'stream' && dense.stream && stream
        ? dense.stream.to('float64').sub(stream)
        : undefined;
    fit.add(part, dense.units, x, lost ? missing.add(lost) : missing);
  });
  dense.units.dispose();
  dense.stream?.dispose();
}

/** Copies, which the caller disposes: the tensors of a pass go with it. */
function seenIn(model: ImageModel, images: Tensor, group: string): Seen {
  const found: Seen[] = [];
  observe(model, images, [group], (_, { units, stream }) => {
    found.push({ units: units.clone().keep(), stream: stream?.clone().keep() });
  });
  return found[0] as Seen;
}

/** Makes the best correction of a reader, if any is better than none. */
async function correct(
  fit: Fit,
  { cut, ridges }: Pick<CorrectionJob, 'cut' | 'ridges'>,
  judgement: Judgement | undefined,
): Promise<GroupCompensation> {
  const { reader } = fit;
  const group = reader.group.name;
  const before = fit.error();
  const none = { group, ridge: null, damping: 0, error: { before, after: before } };
  const best = fit.best(ridges);
  if (!best) return none;
  const { ridge, map } = best;
  try {
    const damping = judgement
      ? await judgedShare(map, reader, cut, judgement)
      : Number(best.error < before);
    if (damping === 0) return none;
    return scopeOf(map, damping, (made) => {
      const after = fit.error(made);
      reader.correct(made);
      return { group, ridge, damping, error: { before, after } };
    });
  } finally {
    free(map);
  }
}

/** The share of a correction that brings the model nearest to the dense one; 0 if that is none of it. */
async function judgedShare(
  map: LinearMap,
  reader: Reader,
  cut: ImageModel,
  judgement: Judgement,
): Promise<number> {
  let [share, least] = [0, Infinity];
  for (const damping of dampings) {
    const restore = reader.remember();
    try {
      scopeOf(map, damping, (part) => {
        reader.correct(part);
      });
      const divergence = await judgement.judge.divergence(cut);
      // Along the way from none to all of it there is one valley.
      if (!(divergence < least)) break;
      [share, least] = [damping, divergence];
    } finally {
      restore();
    }
  }
  if (!(least < judgement.now)) return 0;
  judgement.now = least;
  return share;
}

/** `body` with a share of a map. */
const scopeOf = <T>({ weight, bias }: LinearMap, share: number, body: (map: LinearMap) => T): T =>
  scope(() => body({ weight: weight.mul(share), bias: bias.mul(share) }));
