/** How a training goes on that another phase began, with a model that may have been cut since. */
import { noGrad, scope, type Tensor } from '@mamba-prune/libtorch';
import { type Checkpoint, type StoredTensor, toTensor } from './checkpoint.js';
import { CheckpointError } from './errors.js';
import type { Session } from './session.js';
import type { Continuation } from './train-control.js';

/**
 * The checkpoint that the phase before ended with, for the session's model: the tensors of the optimizer and
 * the averages are what the cut leaves of them.
 * @throws CheckpointError if it is of another phase, or that phase has not ended
 */
export function cutCheckpoint(
  session: Pick<Session, 'model' | 'optimizer' | 'phase' | 'folder'>,
  checkpoint: Checkpoint | undefined,
  { phase, cut = (_name, tensor) => tensor, averagesFollow = false }: Continuation,
): Checkpoint {
  if (checkpoint?.state.phase !== phase || !checkpoint.state.finished) {
    const path = checkpoint?.path ?? session.folder.lastCheckpoint;
    const found = checkpoint
      ? `one of "${checkpoint.state.phase}" after epoch ${checkpoint.state.epoch}`
      : 'none that can be read';
    throw new CheckpointError(
      path,
      `train: "${session.phase}" goes on with the training of "${phase}", expected the checkpoint of its end in ` +
        `${path}: got ${found}. Put it back, or start a new run.`,
    );
  }
  const names = parameterNames(session);
  const now = averagesFollow ? session.model.namedParameters() : undefined;
  const tensors = Array.from(checkpoint.tensors, ([key, stored]): [string, StoredTensor] => {
    const name = parameterOf(key, names);
    if (name === undefined) return [key, stored];
    const weight = key.startsWith('ema.') ? now?.get(name) : undefined;
    const before = weight && checkpoint.tensors.get(`model.${name}`);
    const change = before && ((left: Tensor) => moved(left, cut(name, toTensor(before)), weight));
    return [key, cutStored(stored, name, cut, change)];
  });
  return { ...checkpoint, tensors: new Map(tensors) };
}

/** In the order in which the optimizer counts its parameters. A cut changes sizes, not this order. */
function parameterNames({ model, optimizer }: Pick<Session, 'model' | 'optimizer'>): string[] {
  const names = new Map<Tensor, string>();
  for (const [name, tensor] of model.namedParameters()) names.set(tensor, name);
  return optimizer.groups.flatMap(({ params }) => params.map((param) => names.get(param) ?? ''));
}

/** The parameter that a tensor of a checkpoint has the shape of, if it is of the optimizer or the averages. */
function parameterOf(key: string, names: readonly string[]): string | undefined {
  const index = /^optimizer\.(\d+)\./.exec(key)?.[1];
  if (index !== undefined) return names[Number(index)];
  return key.startsWith('ema.') ? key.slice('ema.'.length) : undefined;
}

/** An average with what a weight got since; as it is, bit for bit, where that is nothing. */
const moved = (average: Tensor, before: Tensor, weight: Tensor): Tensor =>
  noGrad(() => average.add(weight.detach().to('cpu').sub(before)));

function cutStored(
  stored: StoredTensor,
  name: string,
  cut: NonNullable<Continuation['cut']>,
  change = (left: Tensor): Tensor => left,
): StoredTensor {
  return scope(() => {
    const left = change(cut(name, toTensor(stored)));
    const { buffer, byteOffset, byteLength } = left.toTypedArray();
    const data = new Uint8Array(buffer, byteOffset, byteLength);
    return { dtype: stored.dtype, shape: left.shape, data };
  });
}
