import {
  memoryStats,
  type Tensor,
  noGrad,
  randn,
  scope,
  WeightCopies,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { SelectiveSsm } from '../layers/ssm.js';
import { Mlp } from '../layers/mlp.js';
import { mlpWeights } from './operator-weights.js';
import { PackedBlock } from './packed-block.js';

const sizes = { dModel: 24, dInner: 13, dState: 5, dConv: 4, dtRank: 3 };
const neurons = 18;
/** dInner, dtRank, x_proj's rows (8 + 2 * 5) and neurons as multiples of 8. */
const [width, rank, rows, hidden] = [16, 8, 24, 24];

const make = (bidirectional = false) => ({
  ssm: new SelectiveSsm(sizes, { bidirectional }),
  mlp: new Mlp(sizes.dModel, neurons, ['0', '2']),
});
const numbers = (tensor: Tensor) => tensor.to('float64').toNumbers();
const shapes = (tensors: readonly Tensor[]) => tensors.map(({ shape }) => [...shape]);

describe('PackedBlock', () => {
  it('pads widths to multiples of 8, the halves of in_proj and the parts of x_proj each by themselves', () => {
    scope(() => {
      const { ssm, mlp } = make(true);
      const packed = new PackedBlock(ssm, mlp, 'bfloat16');
      const scan = [
        [rows, width],
        [width, rank],
      ];
      expect(shapes(packed.ssm)).toEqual([[2 * width, 24], [24, width], ...scan, ...scan]);
      expect(shapes(packed.mlp)).toEqual([[hidden, 24], [hidden], [24, hidden], [24]]);
      packed.dispose();
    });
  });

  it('leaves nothing behind when it is disposed of, also outside of a scope', () => {
    const { ssm, mlp } = make();
    const before = memoryStats();
    new PackedBlock(ssm, mlp, 'bfloat16').dispose();
    expect(memoryStats()).toEqual(before);
    for (const module of [ssm, mlp]) for (const tensor of module.parameters()) tensor.dispose();
  });

  it('holds the weights in their places after a refresh, and zeros everywhere else', () => {
    scope(() => {
      const { ssm, mlp } = make();
      const packed = new PackedBlock(ssm, mlp, 'float32');
      packed.refresh();
      const [inProj, outProj, xProj, dtProj] = packed.ssm as [Tensor, Tensor, Tensor, Tensor];
      const [scan] = ssm.scans;
      const same = (got: Tensor, expected: Tensor | undefined) => {
        expect(numbers(got)).toEqual(expected && numbers(expected));
      };
      const { dInner, dtRank, dState } = sizes;
      same(inProj.narrow(0, 0, dInner), ssm.inProj.weight.narrow(0, 0, dInner));
      same(inProj.narrow(0, width, dInner), ssm.inProj.weight.narrow(0, dInner, dInner));
      same(outProj.narrow(1, 0, dInner), ssm.outProj.weight);
      const columns = xProj.narrow(1, 0, dInner);
      same(columns.narrow(0, 0, dtRank), scan.xProj.weight.narrow(0, 0, dtRank));
      same(columns.narrow(0, rank, 2 * dState), scan.xProj.weight.narrow(0, dtRank, 2 * dState));
      same(dtProj.narrow(0, 0, dInner).narrow(1, 0, dtRank), scan.dtProj.weight);
      // All of them together add up to the weights alone.
      const sum = (tensors: readonly (Tensor | null | undefined)[]) =>
        tensors.reduce((total, tensor) => total + (tensor?.abs().sum().item() ?? NaN), 0);
      const weights = [ssm.inProj.weight, ssm.outProj.weight, scan.xProj.weight];
      expect(sum(packed.ssm)).toBeCloseTo(sum([...weights, scan.dtProj.weight]), 3);
      expect(sum(packed.mlp)).toBeCloseTo(sum(mlpWeights(mlp)), 3);
      packed.dispose();
    });
  });

  it('follows its weights through WeightCopies, and leaves no other copies of them', () => {
    scope(() => {
      const { ssm, mlp } = make();
      const packed = new PackedBlock(ssm, mlp, 'bfloat16');
      const copies = new WeightCopies([], 'bfloat16', packed.parts);
      noGrad(() => ssm.outProj.weight.copy_(randn([24, sizes.dInner])));
      copies.refresh();
      const expected = ssm.outProj.weight.to('bfloat16');
      const got = (packed.ssm[1] as Tensor).narrow(1, 0, sizes.dInner);
      expect(numbers(got)).toEqual(numbers(expected));
      expect(packed.masters).toHaveLength(8);
      copies.dispose();
      packed.dispose();
    });
  });
});
