// Momentum with orthogonalised updates of matrices.
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { callOperator, hasOperator } from '../dispatch.js';
import { full } from '../factories.js';
import { type OptionKinds, checkOptions } from '../check-options.js';
import { AdamW, type AdamWOptions, adamWKinds, decay_ } from './adamw.js';
import {
  type MatrixShape,
  type MatrixStack,
  StackPlaces,
  evenStacks,
  paddedStacks,
} from './muon-stacks.js';
import type { Batch } from './param-batches.js';
import { type ParamGroup, type ParamGroupOptions, checkSetting } from './param-groups.js';

export interface MuonOptions extends AdamWOptions {
  /** Decay of the average of the matrices' gradients. Default `0.95`. */
  readonly momentum?: number;
}

const muonKinds: OptionKinds<MuonOptions> = { momentum: 'number', ...adamWKinds };

/** Makes the singular values of almost any matrix about 1 in five steps (Jordan et al. 2024). */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const newtonSchulzSteps = 5;

/** Least norm of a matrix, as torch.optim.Muon has it. */
const eps = 1e-7;

/**
 * Muon for the matrices inside a network, AdamW for all else.
 *
 * The step of a matrix is the matrix nearest to its Nesterov momentum whose singular values are equal:
 * directions that the gradient hardly shows move as far as those that dominate it (Jordan et al. 2024,
 * https://kellerjordan.github.io/posts/muon/). It is scaled to the size that steps of AdamW have,
 * 0.2 sqrt(max(rows, columns)), so that both share one learning rate and one weight decay (Liu et al. 2025,
 * https://arxiv.org/abs/2502.16982, section 2.2). The formulas are those of torch.optim.Muon with
 * `adjust_lr_fn="match_rms_adamw"`.
 *
 * Which parameters are matrices is for their group to say: see `muonGroups`. Tensors of more than two
 * dimensions, the kernels of convolutions, count as [first, all others].
 */
export class Muon extends AdamW {
  readonly momentum: number;
  readonly #places = new Map<string, StackPlaces>();
  /** Whether the kernel for single matrices takes those of a device and a shape. */
  readonly #taken = new Map<string, boolean>();
  /** Whether matrices of different shapes share a stack. By default on a GPU. */
  protected padded: boolean | undefined;

  constructor(params: readonly ParamGroupOptions[], options: MuonOptions = {}) {
    checkOptions('Muon', options, muonKinds);
    const { momentum = 0.95, ...others } = options;
    super(params, others);
    checkSetting('Muon', 'momentum', momentum, momentum >= 0 && momentum < 1, 'from 0 to below 1');
    for (const group of this.groups) {
      for (const tensor of group.orthogonalize ? group.params : []) {
        if (tensor.ndim >= 2) continue;
        throw new TypeError(
          `Muon: got ${tensor.toString()} among the matrices, expected two dimensions or more. ` +
            'Put it into a group without orthogonalize.',
        );
      }
    }
    this.momentum = momentum;
  }

  protected override readonly slotsOf = ({ orthogonalize }: ParamGroup): readonly string[] =>
    orthogonalize ? ['momentum_buffer'] : this.slotNames;

  protected override update(batch: Batch, group: ParamGroup): void {
    if (!group.orthogonalize) {
      super.update(batch, group);
      return;
    }
    const rest = this.#updateAtOnce(batch, group);
    if (rest.params.length > 0) this.#updateInStacks(rest, group);
  }

  /** The matrices that a GPU has a kernel for, which does the whole step. @returns the others */
  #updateAtOnce(batch: Batch, { lr, weightDecay }: ParamGroup): Batch {
    const { params, grads, scalars, device } = batch;
    const [taken, others] = partition(params.length, (i) =>
      this.#isTaken(params[i] as Tensor, grads[i] as Tensor),
    );
    if (taken.length === 0) return batch;
    const own = membersOf(batch, taken);
    callOperator(
      'mamba_prune::muon_',
      own.params,
      own.grads,
      own.slots[0] ?? [],
      own.params.map((param) => factorOf(matrixShape(param))),
      scalars?.lr ?? full([], lr, { device }),
      scalars?.skip ?? null,
      this.momentum,
      weightDecay,
      [A, B, C],
      newtonSchulzSteps,
      eps,
    );
    return membersOf(batch, others);
  }

  #isTaken(param: Tensor, grad: Tensor): boolean {
    if (!param.device.startsWith('cuda') || param.dtype !== 'float32') return false;
    if (!param.isContiguous || !grad.isContiguous) return false;
    const [rows, columns] = matrixShape(param);
    const key = `${param.device} ${rows} ${columns}`;
    let isTaken = this.#taken.get(key);
    if (isTaken === undefined) {
      const operator = 'mamba_prune::muon_takes';
      isTaken = hasOperator(operator) && (callOperator(operator, param, rows, columns) as boolean);
      this.#taken.set(key, isTaken);
    }
    return isTaken;
  }

  #updateInStacks(batch: Batch, group: ParamGroup): void {
    const { params, grads, scalars } = batch;
    const { lr } = group;
    const [buffers = []] = batch.slots;
    ops.foreachMulScalar_(buffers, this.momentum);
    ops.foreachAdd_(buffers, grads, 1 - this.momentum);
    decay_(batch, group);
    const shapes = params.map(matrixShape);
    const rate = scalars?.lr ?? lr;
    const stacks = this.#stacksOf(shapes, batch.device).map((stack) => {
      const of = <T>(list: readonly T[]): T[] => stack.members.map((i) => list[i] as T);
      const { members } = stack;
      const own = { members, grads: of(grads), buffers: of(buffers), shapes: of(shapes) };
      return stack.isEven ? this.#evenStack(own) : this.#unevenStack(stack, own);
    });
    const directions = orthogonalizedStacks(stacks.map(({ ahead }) => ahead));
    stacks.forEach(({ members, changesOf }, i) => {
      const changed = members.map((member) => params[member] as Tensor);
      // A stack at a time: changes that lie on their side send their list down libtorch's slow way.
      ops.foreachAdd_(
        changed,
        changesOf(directions[i] as Tensor, rate).map((change, member) =>
          change.reshape(...(changed[member] as Tensor).shape),
        ),
        1,
      );
    });
  }

  /** On a GPU a launch costs more than products with zeros do. */
  #stacksOf(shapes: readonly MatrixShape[], device: string): MatrixStack[] {
    return (this.padded ?? device.startsWith('cuda')) ? paddedStacks(shapes) : evenStacks(shapes);
  }

  #evenStack({ grads, buffers, shapes, members }: StackParts): Ahead {
    const ahead = stackOf(grads).mul(1 - this.momentum);
    const factor = factorOf(shapes[0] as MatrixShape);
    return {
      members,
      ahead: ahead.add_(stackOf(buffers), { alpha: this.momentum }),
      changesOf: (direction, rate) =>
        ops.unbind(direction.mul(typeof rate === 'number' ? rate * factor : rate.mul(factor))),
    };
  }

  #unevenStack(stack: MatrixStack, { grads, buffers, shapes, members }: StackParts): Ahead {
    const places = this.#placesOf(stack, shapes, grads[0] as Tensor);
    const ahead = places.flat(grads).mul(1 - this.momentum);
    ahead.add_(places.flat(buffers), { alpha: this.momentum });
    return {
      members,
      ahead: places.stacked(ahead),
      changesOf: (direction, rate) => places.unstacked(direction.mul_(places.factors).mul_(rate)),
    };
  }

  #placesOf(stack: MatrixStack, shapes: readonly MatrixShape[], like: Tensor): StackPlaces {
    const key = [stack.members.join(), shapes.join(), like.device, like.dtype].join(' ');
    let places = this.#places.get(key);
    if (!places) {
      places = new StackPlaces(stack, shapes, shapes.map(factorOf), like);
      this.#places.set(key, places);
    }
    return places;
  }
}

/** What the matrices of one stack bring along. */
interface StackParts {
  readonly members: readonly number[];
  readonly grads: readonly Tensor[];
  readonly buffers: readonly Tensor[];
  readonly shapes: readonly MatrixShape[];
}

/** A stack on its way to the step. */
interface Ahead {
  readonly members: readonly number[];
  /** Nesterov momentum, shape [members, rows, columns]. */
  readonly ahead: Tensor;
  /** The changes of the members by the directions, which may be overwritten. */
  readonly changesOf: (directions: Tensor, rate: Tensor | number) => Tensor[];
}

const matrixShape = (param: Tensor): MatrixShape => [param.size(0), param.numel / param.size(0)];

/** The numbers below `count` that are so, and the others. */
function partition(count: number, isSo: (i: number) => boolean): [number[], number[]] {
  const [those, others]: [number[], number[]] = [[], []];
  for (let i = 0; i < count; i++) (isSo(i) ? those : others).push(i);
  return [those, others];
}

/** A batch of some of the parameters. */
function membersOf(batch: Batch, members: readonly number[]): Batch {
  const of = <T>(list: readonly T[]): T[] => members.map((i) => list[i] as T);
  const { params, grads, slots, scalars } = batch;
  return {
    ...batch,
    params: of(params),
    grads: of(grads),
    slots: slots.map((slot) => of(slot)),
    scalars: scalars && { ...scalars, counts: of(scalars.counts) },
  };
}

/** From a direction to a step of the size that AdamW's have. */
const factorOf = (shape: MatrixShape): number => -0.2 * Math.sqrt(Math.max(...shape));

/**
 * Five steps of a quintic Newton-Schulz iteration on each matrix.
 *
 * @param matrices - shape [count, rows, columns]; on a GPU the products are computed in bfloat16, whose
 *   rounding the iteration forgives
 * @returns the same shape and type; singular values between about 0.7 and 1.2
 */
export function orthogonalized(matrices: Tensor): Tensor {
  const { dtype, device } = matrices;
  const tall = matrices.size(1) > matrices.size(2);
  let x = tall ? matrices.transpose(1, 2) : matrices;
  if (device.startsWith('cuda')) x = x.to('bfloat16');
  // In float32, where the sum of many small squares would be lost in bfloat16.
  const norms = ops.linalgVectorNorm(matrices, 2, [1, 2], true).clamp(eps);
  x = x.div(norms.to(x.dtype));
  for (let step = 0; step < newtonSchulzSteps; step++) {
    const square = x.matmul(x.transpose(1, 2));
    const polynomial = ops.baddbmm(square, square, square, B, C);
    x = ops.baddbmm(x, polynomial, x, A, 1);
  }
  return (tall ? x.transpose(1, 2) : x).to(dtype);
}

/** `orthogonalized` of each, on a GPU side by side. */
function orthogonalizedStacks(stacks: readonly Tensor[]): Tensor[] {
  const operator = 'mamba_prune::orthogonalize';
  if (!stacks[0]?.device.startsWith('cuda') || !hasOperator(operator)) {
    return stacks.map((stack) => orthogonalized(stack));
  }
  return callOperator(operator, stacks, [A, B, C], newtonSchulzSteps, eps) as Tensor[];
}

const stackOf = (tensors: readonly Tensor[]): Tensor =>
  ops.stack(tensors.map((tensor) => tensor.flatten(1)));
