// Which operators run a Vim on a GPU, and which copies of the weights they read. The operator itself is replaced by one that
// notes what it is given and returns its input: test/gpu compares the real one.
import { type Tensor, F, noGrad, randn, scope } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { weightCopies } from '../precision.js';
import { createModel } from '../registry.js';

interface Call {
  readonly stream: string;
  readonly packed: readonly Tensor[];
  /** The type of the packed matrices, and the first number of out_proj as it was read. */
  readonly read: readonly [string, number];
  readonly bias: Tensor | null | undefined;
  readonly scale: readonly number[] | undefined;
}

const calls = vi.hoisted((): Call[] => []);

vi.mock('@mamba-prune/libtorch/kernels', async (load) => {
  const real = await load<typeof kernels>();
  const ssmBranch: typeof kernels.ssmBranch = (x, { bias }, { packed }, scale) => {
    const outProj = packed[1] as Tensor;
    const read = [outProj.dtype, outProj.flatten().select(0, 0).item()] as const;
    calls.push({ stream: x.dtype, packed, read, bias, scale: scale?.toNumbers() });
    return x;
  };
  return { ...real, hasFusedBranches: () => true, ssmBranch };
});

const sizes = {
  dModel: 16,
  depth: 2,
  dState: 4,
  numClasses: 3,
  imageSize: 8,
  patchSize: 4,
} as const;
const make = (options: Parameters<typeof createModel>[1] = {}) =>
  createModel('vim_nano', { ...sizes, ...options });
const images = () => randn([2, 3, 8, 8]);

type Model = ReturnType<typeof make>;

function fill(model: Model, value: number): void {
  noGrad(() => model.stateDict().get('layers.0.mixer.out_proj.weight')?.fill_(value));
}

/** A pass in 16 bits without gradients. @returns what the first layer read of out_proj */
function read(model: Model): Call['read'] | undefined {
  calls.length = 0;
  scope(() => noGrad(() => model.forward(images().to('bfloat16'))));
  return calls[0]?.read;
}

describe('a Vim on a GPU', () => {
  beforeEach(() => {
    calls.length = 0;
  });

  it('runs layer by layer, takes the mean of both directions, and reads the parameters themselves in float32', () => {
    const model = make();
    scope(() => model.forward(images()));
    expect(calls.map(({ scale }) => scale)).toEqual([
      [0.5, 0.5],
      [0.5, 0.5],
    ]);
    const state = model.stateDict();
    const names = ['in_proj', 'out_proj', 'x_proj', 'dt_proj', 'x_proj_b', 'dt_proj_b'];
    const matrices = names.map((name) => state.get(`layers.1.mixer.${name}.weight`));
    expect(calls[1]?.packed.map((tensor, i) => tensor === matrices[i])).toEqual(
      names.map(() => true),
    );
    // No bias: RMSNorm.
    expect(calls[1]?.bias).toBeUndefined();
  });

  it('keeps the residual stream in float32 under 16 bits, and reads the newest kept copies', () => {
    const model = make();
    fill(model, 1);
    expect(read(model)).toEqual(['bfloat16', 1]);
    expect(calls.map(({ stream }) => stream)).toEqual(['float32', 'float32']);

    const first = weightCopies(model, 'bf16');
    fill(model, 2);
    expect(read(model), 'not refreshed').toEqual(['bfloat16', 1]);
    const second = weightCopies(model, 'bf16');
    expect(read(model)).toEqual(['bfloat16', 2]);
    fill(model, 3);
    second?.refresh();
    expect(read(model)).toEqual(['bfloat16', 3]);
    second?.dispose();
    expect(read(model), 'those before are used again').toEqual(['bfloat16', 1]);
    first?.dispose();
    expect(read(model), 'nobody keeps copies').toEqual(['bfloat16', 3]);
  });

  it('gives whole samples no branch in training, under drop path', () => {
    const model = make({ dropPath: 0.5 }).train();
    scope(() => {
      const many = randn([64, 3, 8, 8]);
      model.forward(many);
    });
    const [first, last] = calls.map(({ scale }) => [...new Set(scale)].sort());
    expect(first, 'the chance rises from 0').toEqual([0.5]);
    expect(last).toEqual([0, 1]);
    calls.length = 0;
    scope(() => model.eval().forward(images()));
    expect(calls[1]?.scale).toEqual([0.5, 0.5]);
  });

  it('goes operator by operator for a probe, in float64, and for sizes that the kernels do not take', () => {
    scope(() => {
      make().forward(images(), {});
      make().to('float64').forward(images().to('float64'));
      const wide = make({ dConv: F.kernelLimits.convTaps + 1 });
      wide.forward(images());
      expect(weightCopies(wide, 'bf16')?.dispose()).toBeUndefined();
      const many = make({ dState: F.kernelLimits.gpuStates + 1 });
      many.forward(images());
      expect(calls).toEqual([]);
      // Without gradients there is no limit of the states.
      noGrad(() => many.forward(images()));
      expect(calls.length).toBe(2);
    });
  });
});
