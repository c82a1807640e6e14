/**
 * How much each doomed unit counts in a norm over the units while RSST shrinks it: as much as is left of it,
 *
 *     share(u) = min(1, R(u) / R0(u)),    R0(u): what R(u) was when the unit was chosen
 *
 * so that a unit at zero counts no more than it will once it is cut, and the cut changes no mean and no variance. The units
 * that stay count in full.
 */
import { type Tensor, noGrad, ops, scope, zeros } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import type { RegNorm } from './choices.js';
import { type GroupSlices, type UnitSet, unitMask, unitNorms } from './unit-slices.js';

/** A group before whose reader there is such a norm. */
interface NormedGroup {
  readonly sliced: GroupSlices;
  /** The norm's own: every forward pass, captured ones too, reads it. */
  readonly shares: Tensor;
  /** 1 for the doomed units. */
  readonly doomed: Tensor;
  /** R0; 0 for the others. */
  readonly chosen: Tensor;
}

/** Below this a norm counts as zero. */
const tiny = 1e-30;

export class NormShares {
  readonly #norm: RegNorm;
  readonly #units: UnitSet;
  readonly #normed: readonly Pick<NormedGroup, 'sliced' | 'shares'>[];
  #made: readonly NormedGroup[] | undefined;

  /**
   * Lets the norms weigh their units. They count in full until `begin`.
   * @param groups - that are regularised, those too of which no unit is doomed just now
   */
  constructor(
    model: Pick<ImageModel, 'normOver'>,
    groups: readonly GroupSlices[],
    { norm, units }: { readonly norm: RegNorm; readonly units: UnitSet },
  ) {
    this.#norm = norm;
    this.#units = units;
    this.#normed = groups.flatMap((sliced) => {
      const shares = model.normOver?.(sliced.group.name)?.weigh();
      return shares ? [{ sliced, shares }] : [];
    });
  }

  /** Where the model is once the training begins. */
  get #groups(): readonly NormedGroup[] {
    this.#made ??= this.#normed.map(({ sliced, shares }) => {
      const chosen = zeros([sliced.group.size], { device: shares.device }).keep();
      const doomed = unitMask(sliced.group, this.#units, chosen).keep();
      return { sliced, shares, doomed, chosen };
    });
    return this.#made;
  }

  /** Whether there is anything to weigh. */
  get isEmpty(): boolean {
    return this.#normed.length === 0;
  }

  /** R0 by name, which the weights of later do not tell. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return new Map(this.#groups.map(({ sliced, chosen }) => [`rsst.${sliced.group.name}`, chosen]));
  }

  /**
   * Once the model has the weights that the training begins or goes on with, and `tensors` what a checkpoint has of them. A unit
   * that was doomed before keeps its R0; one that is doomed no more counts in full from now on.
   */
  begin(): void {
    this.#visit(({ chosen, doomed }, norms) => {
      chosen.copy_(ops.where(chosen.gt(0), chosen, norms).mul(doomed));
    });
    this.update();
  }

  /** After every step. */
  update(): void {
    this.#visit(({ shares, doomed, chosen }, norms) => {
      const left = norms.div(chosen.clamp(tiny)).clamp(0, 1);
      shares.copy_(left.sub(1).mul(doomed).add(1));
    });
  }

  #visit(body: (group: NormedGroup, norms: Tensor) => void): void {
    noGrad(() => {
      for (const group of this.#groups) {
        scope(() => {
          body(group, unitNorms(group.sliced, this.#norm));
        });
      }
    });
  }
}
