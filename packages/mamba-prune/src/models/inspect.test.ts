import { describe, expect, it } from 'vitest';
import { createModel } from './registry.js';
import { pruneModel } from '../pruning/surgery.js';
import { inspectModel } from './inspect.js';

const options = {
  channels: 1,
  imageSize: 8,
  patchSize: 4,
  numClasses: 3,
  dModel: 8,
  depth: 1,
  dState: 2,
};

describe('inspectModel', () => {
  it('counts a small model as a hand does', () => {
    // d_inner 16, mlp 32, dt_rank 1, 4 patches of 16 pixels.
    const summary = inspectModel(createModel('mamba_nano', options));
    const ssm =
      2 * 16 * 8 + // in_proj
      (16 * 4 + 16) + // conv1d
      (1 + 2 * 2) * 16 + // x_proj
      (16 + 16) + // dt_proj
      16 * 2 + // A_log
      16 + // D
      8 * 16; // out_proj
    const mlp = 32 * 8 + 32 + 8 * 32; // fc1, its bias, fc2; its bias has no neuron
    const rest =
      8 * 16 +
      8 + // patch_embed
      4 * 8 + // pos_embed
      3 * 2 * 8 + // norms
      8 + // bias of fc2
      3 * 8 +
      3; // head
    const ssmMacs = 4 * (2 * 16 * 8 + 16 * 4 + 16 * (1 + 2 * 2) + 16 + 16 * (3 * 2 + 2) + 16 * 8);
    const mlpMacs = 4 * 2 * 8 * 32;
    expect(summary.groups).toEqual([
      {
        name: 'blocks.0.ssm',
        kind: 'ssm',
        optional: false,
        width: 16,
        denseWidth: 16,
        parameters: ssm,
        macs: ssmMacs,
      },
      // Parts of the SSM's matrices, which count for its channels.
      {
        name: 'blocks.0.state',
        kind: 'state',
        optional: true,
        width: 2,
        denseWidth: 2,
        parameters: 0,
        macs: 0,
      },
      {
        name: 'blocks.0.dt_rank',
        kind: 'dt_rank',
        optional: true,
        width: 1,
        denseWidth: 1,
        parameters: 0,
        macs: 0,
      },
      {
        name: 'blocks.0.mlp',
        kind: 'mlp',
        optional: false,
        width: 32,
        denseWidth: 32,
        parameters: mlp,
        macs: mlpMacs,
      },
    ]);
    expect(summary.rest).toEqual({ parameters: rest, macs: 4 * 8 * 16 + 3 * 8 });
    expect(summary.parameters).toBe(ssm + mlp + rest);
    expect(summary.macs).toBe(ssmMacs + mlpMacs + summary.rest.macs);
    expect(summary.input).toEqual([1, 8, 8]);
  });

  it('knows the dense width of a pruned model from its history', () => {
    const pruned = pruneModel(
      createModel('mamba_nano', options),
      new Map([['blocks.0.mlp', [3, 7]]]),
    );
    const history = [
      { step: 'train' },
      { step: 'prune', widthsBefore: { 'blocks.0.mlp': 32 } },
      { step: 'prune', widthsBefore: { 'blocks.0.mlp': 12 } },
    ];
    const { groups } = inspectModel(pruned, { history });
    const [ssm, mlp] = ['ssm', 'mlp'].map((kind) => groups.find((group) => group.kind === kind));
    expect(mlp).toMatchObject({ width: 2, denseWidth: 32, parameters: 2 * 8 + 2 + 8 * 2 });
    expect(ssm).toMatchObject({ width: 16, denseWidth: 16 });
  });

  it('says in which directions a vision Mamba scans, and nothing of that for others', () => {
    const scans = (['uni', 'cross'] as const).map((scan) =>
      inspectModel(createModel('mamba_nano', { ...options, scan })),
    );
    expect(scans.map(({ scan }) => scan)).toEqual(['uni', 'cross']);
    expect(inspectModel(createModel('resnet20', { blocks: [1] }))).not.toHaveProperty('scan');
  });
});
