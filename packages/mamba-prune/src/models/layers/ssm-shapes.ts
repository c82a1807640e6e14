// Shapes of the tensors of a selective SSM, and the multiply-accumulates that follow from them alone.
import type { NamedShape } from '../shapes.js';
import type { SsmSizes } from './ssm.js';

/**
 * @param prefix - of the module in the state dict: `blocks.0.ssm`
 * @param bidirectional - whether there is a second direction, whose names have `_b`
 */
export function ssmShapes(
  prefix: string,
  { dModel, dInner, dState, dConv, dtRank }: SsmSizes,
  bidirectional: boolean,
): NamedShape[] {
  const direction = (suffix: string): NamedShape[] => [
    [`${prefix}.A${suffix}_log`, [dInner, dState]],
    [`${prefix}.D${suffix}`, [dInner]],
    [`${prefix}.conv1d${suffix}.weight`, [dInner, 1, dConv]],
    [`${prefix}.conv1d${suffix}.bias`, [dInner]],
    [`${prefix}.x_proj${suffix}.weight`, [dtRank + 2 * dState, dInner]],
    [`${prefix}.dt_proj${suffix}.weight`, [dInner, dtRank]],
    [`${prefix}.dt_proj${suffix}.bias`, [dInner]],
  ];
  return [
    [`${prefix}.in_proj.weight`, [2 * dInner, dModel]],
    ...direction(''),
    ...(bidirectional ? direction('_b') : []),
    [`${prefix}.out_proj.weight`, [dModel, dInner]],
  ];
}

/**
 * Multiply-accumulates that a tensor of a model of SSMs stands for, as `ssmMacs` and the layers count them: a matrix or a
 * filter one for each number, A_log three (Δ A, the update, the output), D two (itself, and the gate).
 * @param length - how often it is applied to an image
 */
export function tensorMacs(name: string, shape: readonly number[], length: number): number {
  const numel = shape.reduce((product, size) => product * size, 1);
  if (/\.A(_b)?_log$/.test(name)) return 3 * length * numel;
  if (/\.D(_b)?$/.test(name)) return 2 * length * numel;
  return name.endsWith('.weight') && shape.length > 1 ? length * numel : 0;
}
