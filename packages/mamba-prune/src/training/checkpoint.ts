/**
 * Checkpoint files: one safetensors file with everything that a training needs to go on bit for bit.
 *
 *     model.NAME       parameters and buffers
 *     optimizer.NAME   its state
 *     ema.NAME         averaged parameters
 *     hooks.NAME       what hooks carry from step to step
 *     rng.DEVICE       state of the device's random generator, uint8
 *     digest           SHA-256 of the state and of all other tensors, uint8 [32]
 *
 * The metadata key `mamba_prune_checkpoint` holds the rest as JSON (`CheckpointState`). The digest is
 * the last tensor, so that the file is written in one pass; safetensors has no checksum of its own.
 */
import { type DType, fromTypedArray, noGrad, ops, scope, type Tensor } from '@mamba-prune/libtorch';
import {
  safetensorsDTypes,
  SafetensorsFile,
  tensorPieces,
  updateHash,
  writeSafetensorsFile,
} from '@mamba-prune/libtorch/files';
import { createHash, type Hash } from 'node:crypto';
import { z } from 'zod';
import { CheckpointError } from './errors.js';
import type { ResolvedTrainOptions } from './train-options.js';

const key = 'mamba_prune_checkpoint';
const digestKey = 'digest';

const stateSchema = z.object({
  format: z.literal(1),
  phase: z.string(),
  /** Epochs done. */
  epoch: z.number(),
  /** Steps done of the epoch after those. */
  batch: z.number(),
  /** Steps done in all. */
  step: z.number(),
  /** Learning rate of the last step. */
  lr: z.number(),
  /** All epochs done, metrics written. */
  finished: z.boolean(),
  /** Training and evaluating so far. */
  seconds: z.number(),
  /** Of the epoch in progress. */
  running: z.object({
    sums: z.array(z.number()),
    images: z.number(),
    seconds: z.number(),
  }),
  best: z.object({ epoch: z.number(), accuracy: z.number() }).nullable(),
  /** The last epoch's line of metrics.jsonl. */
  last: z.looseObject({ type: z.literal('epoch') }).nullable(),
  metricsBytes: z.number(),
  optimizer: z.unknown(),
  emaUpdates: z.number().nullable(),
  options: z.looseObject({ epochs: z.number() }),
  /** What is trained on: name, classes, number of images. */
  data: z.record(z.string(), z.unknown()),
  /** On which the bits depend. */
  threads: z.number(),
  device: z.string(),
  libtorch: z.string(),
  /** Left out where there was one. */
  workers: z.number().optional(),
  /** Missing in files from before there was a choice: fp32. */
  precision: z.enum(['fp32', 'bf16']).optional(),
  /** The caller's. */
  extra: z.unknown(),
});

/** Everything in a checkpoint beside tensors. */
export type CheckpointState = Omit<z.infer<typeof stateSchema>, 'options'> & {
  options: ResolvedTrainOptions;
};

type Values = Tensor | Uint8Array;

/**
 * Writes a checkpoint atomically, one tensor in memory at a time.
 * @throws the system's error if it cannot be written; the old file is untouched then
 */
export function writeCheckpoint(
  path: string,
  state: CheckpointState,
  tensors: ReadonlyMap<string, Values>,
): void {
  const json = JSON.stringify(state);
  const hash = createHash('sha256').update(json);
  const entries = [...tensors].map(([name, values]) => {
    const dtype = values instanceof Uint8Array ? 'U8' : safetensorsDTypes[values.dtype];
    const shape = values instanceof Uint8Array ? [values.length] : values.shape;
    const data = () => {
      hashHead(hash, name, dtype, shape);
      return hashed(hash, values instanceof Uint8Array ? [values] : tensorPieces(values));
    };
    return { name, dtype, shape, data };
  });
  const digest = () => hash.digest();
  writeSafetensorsFile(
    path,
    [...entries, { name: digestKey, dtype: 'U8', shape: [32], data: digest }],
    { [key]: json },
  );
}

function* hashed(hash: Hash, pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const piece of pieces) {
    updateHash(hash, piece);
    yield piece;
  }
}

function hashHead(hash: Hash, name: string, dtype: string, shape: readonly number[]): void {
  hash.update(`\n${JSON.stringify([name, dtype, shape])}\n`);
}

/** A tensor of a checkpoint, as bytes. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface Checkpoint {
  readonly path: string;
  readonly state: CheckpointState;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Reads a whole checkpoint and checks its digest.
 * @throws CheckpointError if it is damaged or none; the system's error if it cannot be opened
 */
export function readCheckpoint(path: string): Checkpoint {
  return withFile(path, (file) => {
    const { json, state } = stateOf(file);
    const hash = createHash('sha256').update(json);
    const tensors = new Map<string, StoredTensor>();
    for (const name of file.names()) {
      if (name === digestKey) continue;
      const { dtype, shape } = file.info(name);
      const data = file.read(name);
      hashHead(hash, name, dtype, shape);
      updateHash(hash, data);
      tensors.set(name, { dtype, shape, data });
    }
    if (!file.has(digestKey) || !hash.digest().equals(file.read(digestKey))) {
      throw damaged(path, 'its content does not have the checksum stored with it');
    }
    return { path, state, tensors };
  });
}

/** The JSON part only, without reading the tensors; its checksum is not checked. */
export function readCheckpointInfo(path: string): CheckpointState {
  return withFile(path, (file) => stateOf(file).state);
}

function withFile<T>(path: string, body: (file: SafetensorsFile) => T): T {
  let file: SafetensorsFile | undefined;
  try {
    file = SafetensorsFile.open(path);
    return body(file);
  } catch (error) {
    const isFormat = error instanceof Error && error.name === 'FormatError';
    throw isFormat ? damaged(path, error.message, error) : error;
  } finally {
    file?.close();
  }
}

function stateOf(file: SafetensorsFile): { json: string; state: CheckpointState } {
  const json = file.metadata[key];
  if (json === undefined) {
    throw new CheckpointError(
      file.path,
      `readCheckpoint: ${file.path} is a safetensors file, but no checkpoint (it has no metadata ${key}).`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw damaged(file.path, (error as Error).message, error);
  }
  const parsed = stateSchema.safeParse(value);
  if (!parsed.success) throw damaged(file.path, z.prettifyError(parsed.error));
  return { json, state: value as CheckpointState };
}

function damaged(path: string, reason: string, cause?: unknown): CheckpointError {
  return new CheckpointError(path, `readCheckpoint: the checkpoint ${path} is damaged: ${reason}`, {
    cause,
  });
}

/**
 * Copies stored values into tensors; checks every name and shape first, so that nothing is changed
 * after an error.
 * @param prefix - 'model.' and so on; tensors of the checkpoint under it must be exactly the targets
 * @throws CheckpointError naming a tensor that is missing, left over or of another shape or type
 */
export function restoreTensors(
  checkpoint: Checkpoint,
  prefix: string,
  targets: ReadonlyMap<string, Tensor>,
): void {
  const { path, tensors } = checkpoint;
  const left = new Set([...tensors.keys()].filter((name) => name.startsWith(prefix)));
  const pairs = [...targets].map(([name, target]): [Tensor, Uint8Array] => {
    const stored = tensors.get(prefix + name);
    left.delete(prefix + name);
    const expected = `${safetensorsDTypes[target.dtype]} [${target.shape.join(', ')}]`;
    if (stored === undefined) throw unfit(path, prefix + name, 'nothing', expected);
    const got = `${stored.dtype} [${stored.shape.join(', ')}]`;
    if (got !== expected) throw unfit(path, prefix + name, got, expected);
    return [target, stored.data];
  });
  const [extra] = left;
  if (extra !== undefined) throw unfit(path, extra, 'a tensor', 'none of that name');
  for (const [target, data] of pairs) target.setValues(data);
}

function unfit(path: string, name: string, got: string, expected: string): CheckpointError {
  const [part, advice] = name.startsWith('hooks.')
    ? ['hooks', 'Give the hooks']
    : ['model or optimizer', 'Build the model'];
  return new CheckpointError(
    path,
    `resume: the checkpoint ${path} does not fit the ${part}: ${name}: got ${got}, ` +
      `expected ${expected}. ${advice} that the run began with.`,
  );
}

/** A stored tensor as a new one on the CPU; the caller's to free. */
export function toTensor({ dtype, shape, data }: StoredTensor): Tensor {
  const [name] = Object.entries(safetensorsDTypes).find(([, code]) => code === dtype) ?? [];
  return fromTypedArray(data, shape, { dtype: name as DType });
}

/** Name and first value of the first float tensor with a value that is not finite, if there is one. */
export function findNotFinite(
  tensors: ReadonlyMap<string, Values>,
): { name: string; value: number } | undefined {
  for (const [name, tensor] of tensors) {
    if (tensor instanceof Uint8Array || !tensor.isFloat) continue;
    if (noGrad(() => scope(() => ops.all(tensor.isFinite()).item() === 1))) continue;
    const value = tensor.toNumbers().find((number) => !Number.isFinite(number)) ?? NaN;
    return { name, value };
  }
  return undefined;
}
