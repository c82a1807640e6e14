import { fileURLToPath } from 'node:url';
import {
  F,
  type Tensor,
  loadSafetensors,
  manualSeed,
  noGrad,
  optim,
  randn,
  tensor,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import {
  createModel,
  createModelFromConfig,
  isMambaModel,
  mambaSmall,
  mambaTiny,
} from '../registry.js';
import { mambaConfig } from './config.js';
import { maskModel } from '../../pruning/surgery.js';
import type { ImageModel, UnitProbe } from '../image-model.js';
import { VisionMamba } from './model.js';
import { SelectiveSsm } from '../layers/ssm.js';

/** ||a - b|| / ||b||, in double precision. */
function relativeDifference(a: Tensor, b: Tensor): number {
  const [x, y] = [a.detach().to('float64'), b.detach().to('float64')];
  return x.sub(y).norm().item() / y.norm().item();
}

describe('parity with PyTorch', () => {
  // Written by benchmarks/peers/torch_mamba.py golden (PyTorch 1.13, one thread).
  const golden = loadSafetensors(
    fileURLToPath(new URL('../fixtures/golden.safetensors', import.meta.url)),
  ).tensors;
  const part = (prefix: string): Map<string, Tensor> =>
    new Map(
      Array.from(golden)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length), value]),
    );
  const get = (name: string): Tensor => golden.get(name) as Tensor;
  const labels = tensor([0, 3, 4], { dtype: 'int64' });
  const build = (): VisionMamba => {
    const model = new VisionMamba(
      mambaConfig('mamba_tiny', { dModel: 16, depth: 2, dState: 4, numClasses: 5, imageSize: 12 }),
    );
    model.loadStateDict(part('weight.'));
    return model;
  };

  // float32 has 24 bits: one rounding is 6e-8. A forward pass of two blocks rounds a few hundred
  // times in sums of up to 64 terms, in another order than PyTorch's: 1e-5 leaves room for that and
  // is far below any wrong formula.
  it('gives the same logits and loss', () => {
    const logits = build().forward(get('input'));
    expect(relativeDifference(logits, get('logits'))).toBeLessThan(1e-5);
    expect(F.crossEntropy(logits, labels).item()).toBeCloseTo(get('loss').item(), 5);
  });

  it('gives the same gradient for every parameter', () => {
    const model = build();
    F.crossEntropy(model.forward(get('input')), labels).backward();
    const expected = part('grad.');
    expect([...model.namedParameters().keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, parameter] of model.namedParameters()) {
      const gradient = parameter.grad;
      if (!gradient) throw new Error(`${name} has no gradient`);
      expect(relativeDifference(gradient, expected.get(name) as Tensor), name).toBeLessThan(1e-5);
    }
  });

  // AdamW divides by the gradient's size: the relative error of a tiny gradient becomes an error of
  // the full step. A wrong step would differ by lr = 1e-2 nearly everywhere, rounding by some percent of that where a
  // gradient is tiny: a tenth of a step is allowed for one number, a thousandth for the mean over a parameter.
  it('takes the same three AdamW steps', () => {
    const model = build();
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2, weightDecay: 0.05 });
    const losses = get('losses').toNumbers();
    for (const expected of losses) {
      const loss = F.crossEntropy(model.forward(get('input')), labels);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      expect(loss.item()).toBeCloseTo(expected, 4);
    }
    const stepped = part('stepped.');
    for (const [name, value] of model.stateDict()) {
      const difference = value.sub(stepped.get(name) as Tensor).abs();
      expect(difference.max().item(), name).toBeLessThan(1e-3);
      expect(difference.mean().item(), name).toBeLessThan(1e-5);
    }
  });
});

describe('a probe', () => {
  const sizes = { dModel: 16, depth: 2, dState: 4, numClasses: 5, imageSize: 12 } as const;

  for (const scan of ['uni', 'bi'] as const) {
    for (const kind of ['ssm', 'mlp']) {
      it(`removes a unit of kind ${kind} of a ${scan} model by a gate of 0`, () => {
        manualSeed(5);
        const model = createModel('mamba_tiny', { ...sizes, scan });
        const images = randn([2, 3, 12, 12]);
        const name = `blocks.1.${kind}`;
        const logits = noGrad(() =>
          model.forward(images, {
            gate(group, x, dim) {
              if (group !== name) return x;
              const gated = x.clone();
              gated.select(dim, 7).zero_();
              return gated;
            },
          }),
        );
        const size = model.pruningGroups().find((group) => group.name === name)?.size ?? 0;
        const units = Array.from({ length: size }, (_, unit) => unit);
        maskModel(model, new Map([[name, units.filter((unit) => unit !== 7)]]));
        const masked = noGrad(() => model.forward(images));
        // Zeros in other places of the same products: float32 rounding only.
        expect(relativeDifference(logits, masked)).toBeLessThan(1e-6);
      });
    }
  }

  it('is shown every group but states and ranks, and changes nothing by looking', () => {
    const model = createModel('mamba_tiny', { ...sizes, scan: 'bi', dropPath: 0.3 });
    const images = randn([2, 3, 12, 12]);
    const seen: Record<string, string[]> = { gate: [], output: [] };
    const see = (what: string, group: string, x: Tensor, dim: number): void => {
      seen[what]?.push(`${group} [${x.shape.join(', ')}] ${dim}`);
    };
    const looking = {
      gate(group: string, x: Tensor, dim: number) {
        see('gate', group, x, dim);
        return x;
      },
      output(group: string, y: Tensor, dim: number) {
        see('output', group, y, dim);
      },
    };
    for (const training of [false, true]) {
      seen['gate'] = [];
      seen['output'] = [];
      model.train(training);
      const run = (probe?: UnitProbe): Tensor => {
        manualSeed(9); // drop path
        return noGrad(() => model.forward(images, probe));
      };
      expect(run(looking).equal(run())).toBe(true);
      expect(run({}).equal(run())).toBe(true);
      const ssm = (block: number): string => `blocks.${block}.ssm [2, 9, 32] 2`;
      const mlp = (block: number): string => `blocks.${block}.mlp [2, 9, 64] 2`;
      expect(seen['output']).toEqual([ssm(0), mlp(0), ssm(1), mlp(1)]);
      // Both directions pass the gate.
      expect(seen['gate']).toEqual([ssm(0), ssm(0), mlp(0), ssm(1), ssm(1), mlp(1)]);
    }
  });
});

describe('VisionMamba', () => {
  it('has the number of parameters of the architectures it is named after', () => {
    expect(mambaTiny().numParameters()).toBe(1_669_738);
    expect(mambaSmall().numParameters()).toBe(13_179_850);
  });

  it('starts with the step sizes, state matrix and scaling of the paper', () => {
    manualSeed(0);
    const model = createModel('mamba_tiny', { depth: 2, dModel: 64 });
    const state = model.stateDict();
    const get = (name: string): Tensor => state.get(`blocks.0.ssm.${name}`) as Tensor;
    const dt = get('dt_proj.bias').softplus();
    // log-uniform on [1e-3, 0.1]: nothing outside (to rounding), and the mean of the logarithm is
    // log(1e-2) with a standard error of 1.33 / sqrt(128) = 0.12.
    expect(dt.min().item()).toBeGreaterThan(0.000999);
    expect(dt.max().item()).toBeLessThan(0.1001);
    expect(Math.abs(dt.log().mean().item() - Math.log(1e-2))).toBeLessThan(0.5);
    get('A_log')
      .exp()
      .select(0, 5)
      .toNumbers()
      .forEach((value, n) => {
        expect(value).toBeCloseTo(n + 1, 5);
      });
    expect(get('D').toNumbers()).toEqual(Array<number>(128).fill(1));
    // Uniform on ±1/sqrt(128), divided by sqrt(2 * depth) = 2.
    expect(get('out_proj.weight').abs().max().item()).toBeLessThanOrEqual(1 / Math.sqrt(128) / 2);
  });

  it('gives the same weights for the same seed', () => {
    const weights = (): number[] => {
      manualSeed(3);
      return (createModel('mamba_nano').stateDict().get('head.weight') as Tensor).toNumbers();
    };
    expect(weights()).toEqual(weights());
  });

  it('sees later patches only when it scans in both directions', () => {
    const sizes = { dModel: 16, dInner: 32, dState: 4, dConv: 4, dtRank: 1 };
    for (const bidirectional of [false, true]) {
      const ssm = new SelectiveSsm(sizes, { bidirectional });
      const x = randn([1, 6, 16]);
      const changed = x.clone();
      changed.select(1, 5).add_(1); // the last position
      const difference = noGrad(() => ssm.forward(x).sub(ssm.forward(changed)).abs().amax(2));
      const [first, ...rest] = difference.toNumbers();
      expect(first === 0).toBe(!bidirectional);
      expect(rest.at(-1)).toBeGreaterThan(0);
    }
  });

  it('scans by turns in four directions at the cost of one', () => {
    const options = { dModel: 16, depth: 5, dState: 4, numClasses: 3, imageSize: 12 } as const;
    const make = (scan: 'uni' | 'cross') => {
      manualSeed(6);
      return createModel('mamba_nano', { ...options, scan });
    };
    const [uni, cross] = [make('uni'), make('cross')];
    expect(cross.macs()).toEqual(uni.macs());
    const shapes = (model: ImageModel) =>
      [...model.stateDict()].map(([name, t]) => [name, t.shape]);
    expect(shapes(cross)).toEqual(shapes(uni));
    // Where the last position of the image is in the sequence of each block: what it changes in the SSM's
    // output are positions from there on.
    const images = randn([1, 3, 12, 12]);
    const changed = images.clone();
    changed.narrow(2, 8, 4).narrow(3, 8, 4).add_(1);
    const seen = (pixels: Tensor): Tensor[] => {
      const outputs: Tensor[] = [];
      noGrad(() =>
        cross.forward(pixels, {
          output(group, y) {
            if (group.endsWith('ssm')) outputs.push(y.clone().keep());
          },
        }),
      );
      return outputs;
    };
    const after = seen(changed);
    const first = seen(images).map((y, block) =>
      y
        .sub(after[block] as Tensor)
        .abs()
        .amax(2)
        .toNumbers()
        .findIndex((difference) => difference > 0),
    );
    // Rows and columns forward it is the last of nine; from the first block that goes backwards, all see it.
    expect(first).toEqual([8, 8, 0, 0, 0]);
  });

  it('trains with drop path and is deterministic without', () => {
    manualSeed(2);
    const model = createModel('mamba_nano', { dropPath: 0.5 });
    const x = randn([2, 3, 32, 32]);
    const run = (): number[] => noGrad(() => model.forward(x)).toNumbers();
    expect(run()).not.toEqual(run());
    model.eval();
    expect(run()).toEqual(run());
  });

  it('is rebuilt from its configuration', () => {
    const model = createModel('mamba_nano', { scan: 'bi', channels: 1, imageSize: 28 });
    const again = createModelFromConfig(
      JSON.parse(JSON.stringify(model.config)) as typeof model.config,
    );
    expect([...again.stateDict()].map(([name, t]) => [name, t.shape])).toEqual(
      [...model.stateDict()].map(([name, t]) => [name, t.shape]),
    );
    expect(isMambaModel(again)).toBe(true);
  });

  it('reads files from before states and ranks had widths of their own', () => {
    const { config } = createModel('mamba_nano');
    expect(Object.keys(config.widths).some((name) => /state|dt_rank/.test(name))).toBe(false);
    const sizes = (model: ImageModel): object =>
      Object.fromEntries(model.pruningGroups().map(({ name, size }) => [name, size]));
    const whole = createModelFromConfig(config);
    expect(sizes(whole)).toMatchObject({ 'blocks.3.state': 8, 'blocks.3.dt_rank': 4 });
    const cut = whole.withWidths({ 'blocks.3.state': 5, 'blocks.0.dt_rank': 1 });
    expect(sizes(createModelFromConfig(cut.config))).toMatchObject({
      'blocks.0.state': 8,
      'blocks.0.dt_rank': 1,
      'blocks.3.state': 5,
      'blocks.3.dt_rank': 4,
    });
    const state = cut.stateDict();
    expect(state.get('blocks.3.ssm.x_proj.weight')?.shape).toEqual([4 + 2 * 5, 128]);
    expect(state.get('blocks.3.ssm.A_log')?.shape).toEqual([128, 5]);
    expect(state.get('blocks.0.ssm.dt_proj.weight')?.shape).toEqual([128, 1]);
  });

  it('refuses images of another size with both shapes', () => {
    expect(() => createModel('mamba_nano').forward(randn([1, 1, 28, 28]))).toThrow(
      /got images of shape \[1, 1, 28, 28\], expected \[batch, 3, 32, 32\]/,
    );
  });

  it('refuses sizes that do not fit together', () => {
    expect(() => createModel('mamba_nano', { imageSize: 30 })).toThrow(/patch size 4.*30 px/);
    expect(() => createModel('mamba_nano', { depth: 0 })).toThrow(UsageError);
    expect(() => createModel('mamba_huge')).toThrow(/mamba_huge.*mamba_tiny/);
  });

  it('counts multiply-accumulates as a hand does', () => {
    const model = new VisionMamba(
      mambaConfig('mamba_tiny', { dModel: 16, depth: 1, dState: 4, numClasses: 5, imageSize: 12 }),
    );
    // 9 patches of 4x4x3; d_inner 32, dt_rank 1.
    const ssm = 9 * (16 * 64 + 32 * 4 + 32 * (1 + 8) + 1 * 32 + 32 * (3 * 4 + 2) + 32 * 16);
    expect(model.macs()).toEqual([
      { name: 'patch_embed', macs: 9 * 16 * 48 },
      { name: 'blocks.0.ssm', macs: ssm },
      { name: 'blocks.0.mlp', macs: 9 * 2 * 16 * 64 },
      { name: 'head', macs: 16 * 5 },
    ]);
  });
});
