// How a score picks slices of a unit and adds up what an importance makes of them.
import type { Tensor } from '@mamba-prune/libtorch';
import type { GroupMember, PruningGroup } from '../../models/groups.js';
import type { ImageModel } from '../../models/image-model.js';
import type { Calibration } from '../calibration.js';

export interface SliceRule {
  /** Whether a member's slices count. */
  readonly counts: (member: GroupMember) => boolean;
  /** What the norms of a member, [units], are divided by before they are added up. Default `1`. */
  readonly divisorOf?: (norms: Tensor) => number;
  /** One factor per unit, by group name, from real images. By default there are none. */
  readonly factorsOf?: (
    model: ImageModel,
    groups: readonly PruningGroup[],
    calibration: Calibration,
  ) => Promise<ReadonlyMap<string, Float64Array>>;
}
