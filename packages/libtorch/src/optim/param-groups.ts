// Groups of parameters: what is given of them, and their settings.
import { type OptionKinds, checkOptions } from '../check-options.js';
import type { Tensor } from '../tensor.js';

/** Parameters that share settings; what is not given is taken from the optimizer's options. */
export interface ParamGroupOptions {
  readonly params: readonly Tensor[];
  readonly lr?: number;
  readonly weightDecay?: number;
  /** Matrices whose steps `Muon` orthogonalises; other optimizers make no difference. */
  readonly orthogonalize?: boolean;
}

const groupKinds: OptionKinds<ParamGroupOptions> = {
  params: 'array',
  lr: 'number',
  weightDecay: 'number',
  orthogonalize: 'boolean',
};

export interface ParamGroup {
  readonly params: readonly Tensor[];
  readonly orthogonalize: boolean;
  /** Learning rate before any schedule. */
  baseLr: number;
  /** Learning rate of the next step. */
  lr: number;
  weightDecay: number;
}

/**
 * @param where - name of the optimizer, for messages
 * @param params - parameters, which are one group then, or groups
 * @throws TypeError for anything else, a parameter that stands twice, or a tensor that is none; RangeError for a setting
 */
export function paramGroupsOf(
  where: string,
  params: readonly Tensor[] | readonly ParamGroupOptions[],
  defaults: { readonly lr: number; readonly weightDecay: number },
): ParamGroup[] {
  const list: unknown = params;
  if (!Array.isArray(list)) {
    throw new TypeError(
      `${where}: got no list of parameters, expected one, or a list of groups: a module's parameters(), say.`,
    );
  }
  const given = isGroups(params) ? params : [{ params }];
  const groups = given.map((group, i) => {
    checkOptions(`${where}: group ${i}`, group, groupKinds);
    const { lr = defaults.lr, weightDecay = defaults.weightDecay, orthogonalize = false } = group;
    checkSetting(where, 'lr', lr, lr >= 0, 'at least 0');
    checkSetting(where, 'weightDecay', weightDecay, weightDecay >= 0, 'at least 0');
    return { params: [...group.params], orthogonalize, baseLr: lr, lr, weightDecay };
  });
  checkParams(
    where,
    groups.flatMap((group) => group.params),
  );
  return groups;
}

function checkParams(where: string, params: readonly Tensor[]): void {
  if (new Set(params).size !== params.length) {
    throw new TypeError(`${where}: got a parameter twice, expected each in one group.`);
  }
  for (const tensor of params) {
    if (tensor.isLeaf && tensor.requiresGrad) continue;
    throw new TypeError(
      `${where}: got ${tensor.toString()} that ${tensor.isLeaf ? 'does not require grad' : 'was computed from others'}, ` +
        "expected parameters: a module's parameters().",
    );
  }
}

function isGroups(
  params: readonly Tensor[] | readonly ParamGroupOptions[],
): params is readonly ParamGroupOptions[] {
  return params.length > 0 && 'params' in (params[0] as object);
}

/** @throws RangeError `AdamW: got lr -1, expected at least 0.` */
export function checkSetting(
  where: string,
  name: string,
  value: number,
  valid: boolean,
  expected: string,
): void {
  if (valid && Number.isFinite(value)) return;
  throw new RangeError(`${where}: got ${name} ${value}, expected ${expected}.`);
}
