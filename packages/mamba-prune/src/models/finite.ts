// Weights that are no numbers: what computes with them gives NaN for every image, and says nothing.
import { FormatError, type Tensor, noGrad, ops, scope } from '@mamba-prune/libtorch';

/** A tensor with values that are NaN or infinite. */
export interface NotFinite {
  readonly name: string;
  /** So many of its values are not finite ... */
  readonly count: number;
  /** ... of so many in all. */
  readonly values: number;
}

/** The tensors with values that are NaN or infinite, in the order given. */
export function notFinite(tensors: Iterable<readonly [string, Tensor]>): NotFinite[] {
  const found: NotFinite[] = [];
  for (const [name, tensor] of tensors) {
    if (!tensor.isFloat) continue;
    const finite = noGrad(() =>
      scope(() => {
        const each = tensor.isFinite();
        // The sum takes longer, and is nearly never needed.
        return ops.all(each).item() === 1 ? tensor.numel : each.to('float64').sum().item();
      }),
    );
    if (finite < tensor.numel) {
      found.push({ name, count: tensor.numel - finite, values: tensor.numel });
    }
  }
  return found;
}

/** `head.weight (3 of 640 values) and 2 more tensors` */
export function notFiniteText([first, ...more]: readonly NotFinite[]): string {
  if (!first) return '';
  const others =
    more.length === 0 ? '' : ` and ${more.length} more ${more.length === 1 ? 'tensor' : 'tensors'}`;
  return `${first.name} (${first.count} of ${first.values} values)${others}`;
}

/** @throws FormatError naming the first tensor with a value that is not finite */
export function checkFinite(tensors: Iterable<readonly [string, Tensor]>): void {
  const found = notFinite(tensors);
  if (found.length === 0) return;
  throw new FormatError(
    `got weights that are NaN or infinite: ${notFiniteText(found)}, expected numbers. The training ` +
      'that wrote the file diverged, or the file is damaged: take an earlier checkpoint.',
  );
}
