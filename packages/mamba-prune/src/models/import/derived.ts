// Weights that a file has in parts: pruned by torch.nn.utils.prune (a weight and its mask), or under weight
// normalisation (a direction and a length). What they make together is what the model computes with.
import { FormatError, type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import { listed, printableName } from '../../printable.js';
import { isCounter } from '../file-checks.js';
import type { Shapes } from './layout.js';

/** The end of a part's name, with its counterpart's. */
const masked = { whole: '_orig', other: '_mask' };

/** Direction and length, as the parametrization of torch.nn.utils.weight_norm names them. */
const parametrized = /parametrizations\.(\w+)\.original([01])$/;

/** The same as torch.nn.utils.weight_norm itself names them. */
const normalised = /\w_([gv])$/;

interface Part {
  /** Of the weight that the parts make. */
  readonly name: string;
  readonly role: 'orig' | 'mask' | 'length' | 'direction';
}

/** What every name of a part ends in: most names are told by it to be none. */
const partEnd = /(?:_orig|_mask|_[gv]|\.original[01])$/;

/** @returns undefined for a tensor that is a whole weight */
function partOf(name: string, has: (name: string) => boolean): Part | undefined {
  if (!partEnd.test(name)) return undefined;
  for (const [end, role] of [
    [masked.whole, 'orig'],
    [masked.other, 'mask'],
  ] as const) {
    if (!name.endsWith(end)) continue;
    const whole = name.slice(0, -end.length);
    if (has(whole + masked.whole) && has(whole + masked.other)) return { name: whole, role };
  }
  const [end, weight = '', index] = parametrized.exec(name) ?? [];
  if (end !== undefined) {
    const before = name.slice(0, -end.length);
    const parts = `${before}parametrizations.${weight}.`;
    if (!has(`${parts}original0`) || !has(`${parts}original1`)) return undefined;
    return { name: before + weight, role: index === '0' ? 'length' : 'direction' };
  }
  const [, letter] = normalised.exec(name) ?? [];
  const whole = name.slice(0, -2);
  if (letter === undefined || !has(`${whole}_g`) || !has(`${whole}_v`)) return undefined;
  return { name: whole, role: letter === 'g' ? 'length' : 'direction' };
}

/** Shapes by the names that `joinParts` would leave, to tell what model they are of. */
export function joinedShapes(shapes: Shapes): Shapes {
  const has = (name: string): boolean => shapes.has(name);
  const joined = new Map<string, readonly number[]>();
  for (const [name, shape] of shapes) {
    const part = partOf(name, has);
    if (part === undefined) joined.set(name, shape);
    else if (part.role === 'orig' || part.role === 'direction') joined.set(part.name, shape);
  }
  return joined;
}

export interface Joined {
  /** The tensors given, and new ones in place of parts, in the same order. */
  readonly tensors: Map<string, Tensor>;
  /** The new ones; the caller disposes them. */
  readonly made: readonly Tensor[];
  /** Sentences on what was done. */
  readonly notes: readonly string[];
}

/**
 * Puts weights together that are there in parts: `weight_orig * weight_mask`, and
 * `g * v / |v|` with the norm over all dimensions in which g has size 1 (Salimans and Kingma, 2016).
 *
 * @throws FormatError for parts that do not fit together, and for a parametrization of another kind
 */
export function joinParts(given: ReadonlyMap<string, Tensor>): Joined {
  refuseOtherParts([...given.keys()]);
  const has = (name: string): boolean => given.has(name);
  const tensors = new Map<string, Tensor>();
  const made: Tensor[] = [];
  const done = { mask: [] as string[], norm: [] as string[] };
  const parts = new Map<string, Partial<Record<Part['role'], Tensor>>>();
  for (const [name, tensor] of given) {
    const part = partOf(name, has);
    if (part === undefined) {
      const counter = isCounter(name) && tensor.numel === 1 && tensor.shape.length > 0;
      // NumPy makes arrays of one number out of numbers, and PyTorch takes them for these, too.
      const value = counter ? tensor.reshape() : tensor;
      if (counter) made.push(value);
      tensors.set(name, value);
      continue;
    }
    const roles = parts.get(part.name) ?? {};
    roles[part.role] = tensor;
    parts.set(part.name, roles);
    tensors.set(part.name, tensor); // keeps its place in the order
  }
  try {
    for (const [name, { orig, mask, length, direction }] of parts) {
      const weight =
        orig && mask
          ? product(name, orig, mask)
          : length && direction
            ? lengthTimesDirection(name, length, direction)
            : undefined;
      if (!weight) throw new FormatError(`import: got only a part of '${printableName(name)}'.`);
      made.push(weight);
      tensors.set(name, weight);
      done[mask ? 'mask' : 'norm'].push(name);
    }
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  }
  return {
    tensors,
    made,
    notes: [
      ...(done.mask.length > 0
        ? [`Multiplied by their masks of torch.nn.utils.prune: ${listed(done.mask)}.`]
        : []),
      ...(done.norm.length > 0
        ? [`Computed from the direction and length of weight normalisation: ${listed(done.norm)}.`]
        : []),
    ],
  };
}

/** @throws FormatError for weights that other functions make of what the file has */
export function refuseOtherParts(names: readonly string[]): void {
  const has = new Set(names);
  const other = names.filter(
    (name) =>
      /(?:^|\.)parametrizations\.\w+\.(?:original$|original[2-9]|\d)/.test(name) ||
      (name.endsWith('_orig') && has.has(name.replace(/_orig$/, '_u'))),
  );
  if (other.length === 0) return;
  throw new FormatError(
    `import: got weights that a function makes of others (${listed(other, 3)}), such as spectral_norm of ` +
      'PyTorch, expected the weights themselves. Take it off in Python before saving: ' +
      'torch.nn.utils.parametrize.remove_parametrizations(module, "weight"), or ' +
      'torch.nn.utils.remove_spectral_norm(module).',
  );
}

function product(name: string, orig: Tensor, mask: Tensor): Tensor {
  if (!sameShape(orig.shape, mask.shape)) {
    throw new FormatError(
      `import: got '${printableName(name)}_mask' of shape [${mask.shape.join(', ')}], expected [${orig.shape.join(', ')}], that of '${printableName(name)}_orig'.`,
    );
  }
  return noGrad(() => scope(() => orig.mul(mask.to(orig.dtype))));
}

function lengthTimesDirection(name: string, length: Tensor, direction: Tensor): Tensor {
  // A length for everything may have no dimensions at all.
  const one = length.numel === 1;
  const fits =
    one ||
    (length.shape.length === direction.shape.length &&
      length.shape.every((size, dim) => size === 1 || size === direction.shape[dim]));
  if (!fits || !length.isFloat || !direction.isFloat) {
    throw new FormatError(
      `import: got the length of '${printableName(name)}' of shape [${length.shape.join(', ')}] for a direction of shape ` +
        `[${direction.shape.join(', ')}], expected one that is 1 where the norm is taken.`,
    );
  }
  return noGrad(() =>
    scope(() => {
      const dims = direction.shape.flatMap((_, dim) =>
        one || length.shape[dim] === 1 ? [dim] : [],
      );
      const squares = direction.mul(direction);
      const norm = (dims.length === 0 ? squares : squares.sum(dims, true)).sqrt();
      return direction.mul(length.div(norm));
    }),
  );
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, dim) => size === b[dim]);
