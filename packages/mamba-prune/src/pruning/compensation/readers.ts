// The weights that read the units of a group, and how a correction of them is regressed and written.
import { type Tensor, cat, noGrad, scope } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import {
  type GroupMember,
  type KeptUnits,
  type PruningGroup,
  complement,
  memberOffset,
  memberUnitSize,
} from '../../models/groups.js';
import { tensorCut } from '../surgery.js';
import type { LinearMap } from './moments.js';

/** What a forward pass shows of a group, as rows of positions, in the model's type. */
export interface Seen {
  /** Shape [positions, features]. */
  readonly units: Tensor;
  /** The stream that the reader adds to, shape [positions, features of the stream]; where the model shows it. */
  readonly stream: Tensor | undefined;
}

/** The reader of a group that lost units. */
export interface Reader {
  readonly group: PruningGroup;
  readonly device: string;
  /** Features of the units that stayed. */
  readonly inputs: number;
  /** Features of what is regressed on them. */
  readonly outputs: number;
  /** QᵀQ, where Q takes what is regressed to what the reader gives. Undefined for the identity. */
  readonly metric: Tensor | undefined;
  /** Whether the reader has a bias that an intercept can go into. */
  readonly hasBias: boolean;
  /** The features of `units`, as the dense model shows them, that stayed. */
  kept(units: Tensor): Tensor;
  /**
   * What a correction has to add.
   * @param dense - all units, as the dense model shows them, [positions, features]
   * @param x - the units that stayed, float64 [positions, inputs]
   * @returns float64 [positions, outputs]
   */
  missing(dense: Tensor, x: Tensor): Tensor;
  /** Sum of squares of what the reader gives in the dense model. @param dense - as `missing` has them */
  given(dense: Tensor): number;
  /** Adds a map of the units that stayed to what the reader gives. */
  correct(map: LinearMap): void;
  /** @returns what puts the reader's weights back */
  remember(): () => void;
  dispose(): void;
}

/** The weights of a group that read it whole, and nothing else of it. */
function readingMember({ members }: PruningGroup): GroupMember | undefined {
  const [member, ...others] = members.filter(({ consumer }) => consumer);
  const isReader = others.length === 0 && member?.dim === 1 && memberOffset(member) === 0;
  return isReader ? member : undefined;
}

/** Whether what a group loses can be compensated: whether it has weights of its own that read it whole. */
export const hasReader = (group: PruningGroup): boolean => readingMember(group) !== undefined;

/**
 * The reader of a group in the model before a cut and after it. Whoever asks for it disposes it.
 * @param kept - units that stayed, of all groups
 * @returns undefined for a group without weights of its own that read it whole
 */
export function readerOf(
  group: PruningGroup,
  { dense, cut }: { readonly dense: ImageModel; readonly cut: ImageModel },
  kept: KeptUnits,
): Reader | undefined {
  const member = readingMember(group);
  if (!member) return undefined;
  const units = kept.get(group.name) as readonly number[];
  const state = cut.stateDict();
  const after = state.get(member.parameter) as Tensor;
  const unitSize = memberUnitSize(member);
  const features = units.flatMap((unit) =>
    Array.from({ length: unitSize }, (_, i) => unit * unitSize + i),
  );
  if (after.size(1) !== features.length) return undefined;
  // What the reader makes may be units of another group, of which the cut model has fewer.
  const elsewhere = new Map(Array.from(kept).filter(([name]) => name !== group.name));
  const before = scope(() =>
    tensorCut(dense, elsewhere)(
      member.parameter,
      dense.stateDict().get(member.parameter) as Tensor,
    ).to('float64'),
  ).keep();
  const bias = biasOf(state, member.parameter);
  const common = {
    group,
    device: after.device,
    inputs: features.length,
    hasBias: bias !== undefined,
    kept: (units: Tensor) => units.indexSelect(1, features),
    dispose: () => {
      before.dispose();
    },
    remember: () => remembered(bias ? [after, bias] : [after]),
  };
  if (before.ndim === 2) return { ...common, ...linearReader({ before, after, bias }) };
  const own = convolutionReader({ before, after, features, bias });
  const dispose = (): void => {
    own.metric.dispose();
    before.dispose();
  };
  return { ...common, ...own, dispose };
}

/** The bias beside a weight, by the name that layers give it. */
function biasOf(state: ReadonlyMap<string, Tensor>, weight: string): Tensor | undefined {
  return weight.endsWith('.weight') ? state.get(weight.replace(/weight$/, 'bias')) : undefined;
}

interface Weights {
  /** Of the reader in the dense model, float64, with the outputs that the cut model's has. */
  readonly before: Tensor;
  readonly after: Tensor;
  readonly bias: Tensor | undefined;
}

type OwnOfReader = Pick<Reader, 'outputs' | 'metric' | 'missing' | 'given' | 'correct'>;

/** Regressed is what a linear layer gives: that has the fewest features. */
function linearReader({ before, after, bias }: Weights): OwnOfReader {
  const product = (x: Tensor, weight: Tensor): Tensor => x.mm(double(weight).t());
  return {
    outputs: before.size(0),
    metric: undefined,
    missing: (units, x) => product(double(units), before).sub(product(x, after)),
    given: (units) => squares(product(double(units), before)),
    correct({ weight, bias: intercept }) {
      change(() => {
        after.add_(weight.to(after.dtype));
        bias?.add_(intercept.to(bias.dtype));
      });
    },
  };
}

/**
 * Regressed are the units themselves, position by position: each as a combination of those that stayed, which is then
 * carried through every tap of the kernel.
 */
function convolutionReader({
  before,
  after,
  features,
  bias,
}: Weights & { readonly features: readonly number[] }): OwnOfReader & {
  readonly metric: Tensor;
} {
  const size = before.size(1);
  const removed = complement(features, size);
  const order = [...features, ...removed];
  const place = order.map((_, feature) => order.indexOf(feature));
  const metric = scope(() => {
    const taps = before.transpose(0, 1).reshape(size, -1);
    return taps.mm(taps.t());
  }).keep();
  return {
    outputs: size,
    metric,
    given: (units) => double(units).mm(metric).mul(double(units)).sum().item(),
    missing(units, x) {
      const all = double(units);
      const zero = all.indexSelect(1, removed).mul(0);
      // x at the places of its features, zero at those of the others.
      const spread = cat([x, zero], 1).indexSelect(1, place);
      return all.sub(spread);
    },
    correct({ weight, bias: intercept }) {
      change(() => {
        const [out, , ...kernel] = before.shape as [number, number, ...number[]];
        const taps = before.reshape(out, size, -1).permute(2, 0, 1);
        const added = taps
          .matmul(weight)
          .permute(1, 2, 0)
          .reshape(out, features.length, ...kernel);
        after.add_(added.to(after.dtype));
        bias?.add_(taps.matmul(intercept.unsqueeze(1)).sum(0).squeeze(1).to(bias.dtype));
      });
    },
  };
}

const squares = (x: Tensor): number => x.square().sum().item();

const double = (x: Tensor): Tensor => x.detach().to('float64');

function change(body: () => void): void {
  noGrad(() => {
    scope(body);
  });
}

function remembered(weights: readonly Tensor[]): () => void {
  const copies = noGrad(() => weights.map((weight) => weight.clone().keep()));
  return () => {
    change(() => {
      weights.forEach((weight, i) => weight.copy_(copies[i] as Tensor));
    });
    for (const copy of copies) copy.dispose();
  };
}
