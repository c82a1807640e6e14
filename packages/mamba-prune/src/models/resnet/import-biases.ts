// Convolutions with biases before a BatchNorm, which takes them away again: it subtracts the mean of what they give.
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import { listed } from '../../printable.js';
import type { StateDict } from '../import/state-dict.js';

/** The norm behind each convolution, by its name. */
function normBehind(convolution: string): string | undefined {
  const [, block = '', number] = /^(layer\d+\.\d+\.|)conv(\d)$/.exec(convolution) ?? [];
  if (number !== undefined) return `${block}bn${number}`;
  return /\.downsample\.0$/.test(convolution) ? convolution.replace(/0$/, '1') : undefined;
}

/**
 * BN(W x + b) with a mean of m is BN(W x) with a mean of m - b.
 * @param state - under the names of torchvision; what does not fit stays, and is refused as unexpected
 */
export function foldBiases(state: StateDict): void {
  const folded: string[] = [];
  for (const name of state.names()) {
    const convolution = /^(.*)\.bias$/.exec(name)?.[1] ?? '';
    const norm = normBehind(convolution);
    const mean = norm === undefined ? undefined : state.get(`${norm}.running_mean`);
    const bias = state.get(name);
    if (!mean?.isFloat || bias?.isFloat !== true || String(mean.shape) !== String(bias.shape))
      continue;
    if (state.get(`${convolution}.weight`)?.ndim !== 4) continue;
    state.take(name);
    state.set(
      `${norm ?? ''}.running_mean`,
      noGrad((): Tensor => mean.to('float64').sub(bias.to('float64'))),
    );
    folded.push(convolution);
  }
  if (folded.length === 0) return;
  state.note(
    `The ${folded.length === 1 ? 'bias' : 'biases'} of ${listed(folded)}, before a BatchNorm, ${folded.length === 1 ? 'was' : 'were'} taken off its mean, which computes the same in inference.`,
  );
}
