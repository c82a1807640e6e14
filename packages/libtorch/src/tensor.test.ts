import { describe, expect, it } from 'vitest';
import {
  DisposedError,
  ShapeError,
  TorchError,
  arange,
  cat,
  fromTypedArray,
  grad,
  manualSeed,
  memoryStats,
  noGrad,
  ones,
  randn,
  getRngState,
  setRngState,
  scope,
  tensor,
  zeros,
} from './index.js';

describe('Tensor', () => {
  it('takes nested arrays and gives them back', () => {
    const t = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(t.shape).toEqual([2, 3]);
    expect(t.dtype).toBe('float32');
    expect(t.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  it('refuses ragged arrays', () => {
    expect(() => tensor([[1, 2], [3]])).toThrow(ShapeError);
    expect(() => tensor([1, [2]])).toThrow(ShapeError);
  });

  it('keeps integers beyond float precision in int64 tensors', () => {
    const t = fromTypedArray(BigInt64Array.of(9007199254740993n), [1]);
    expect(t.toTypedArray()).toEqual(BigInt64Array.of(9007199254740993n));
  });

  it('computes with broadcasting and keeps integer tensors integer', () => {
    const t = arange(6).reshape(2, 3);
    expect(t.add(tensor([10, 20, 30])).toArray()).toEqual([
      [10, 21, 32],
      [13, 24, 35],
    ]);
    expect(tensor([1, 2], { dtype: 'int64' }).mul(3).dtype).toBe('int64');
    expect(tensor([1, 2], { dtype: 'int64' }).mul(0.5).toNumbers()).toEqual([0.5, 1]);
  });

  it('converts 16-bit floats exactly where they are exact', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      expect(tensor([0.5, -2, 96], { dtype }).toNumbers()).toEqual([0.5, -2, 96]);
    }
  });

  it('shares memory with a typed array when asked not to copy', () => {
    const values = Float32Array.of(1, 2, 3);
    const shared = fromTypedArray(values, [3], { copy: false });
    const copied = fromTypedArray(values, [3]);
    values[0] = 9;
    expect(shared.toNumbers()).toEqual([9, 2, 3]);
    expect(copied.toNumbers()).toEqual([1, 2, 3]);
    shared.mul_(2);
    expect(Array.from(values)).toEqual([18, 4, 6]);
  });

  it('selects rows by a list of indices', () => {
    expect(arange(6).reshape(3, 2).indexSelect(0, [2, 0]).toArray()).toEqual([
      [4, 5],
      [0, 1],
    ]);
  });

  it.each([
    ['numbers', () => tensor([1, 2], { device: 'meta' })],
    ['16-bit numbers', () => tensor([1, 2], { dtype: 'float16', device: 'meta' })],
    ['a typed array', () => fromTypedArray(Float32Array.of(1), [1], { device: 'meta' })],
    ['ones', () => ones([2], { device: 'meta' })],
  ] as const)('leaves nothing on the CPU of what goes to another device: %s', (_, make) => {
    const before = memoryStats().tensors;
    const made = make();
    expect(made.device).toBe('meta');
    expect(memoryStats().tensors).toBe(before + 1);
    made.dispose();
  });

  it('frees a list of indices on another device too, also where nothing can be selected', () => {
    const rows = ones([3, 2], { device: 'meta' });
    const before = memoryStats().tensors;
    expect(() => rows.indexSelect(5, [2, 0])).toThrow(TorchError);
    expect(memoryStats().tensors).toBe(before);
    rows.dispose();
  });

  it('says which operator failed and with what shapes', () => {
    expect(() => ones([2, 3]).mm(ones([4, 5]))).toThrow(
      /aten::mm: .*2x3 and 4x5[\s\S]*float32\[2, 3\] cpu.*float32\[4, 5\] cpu/,
    );
    expect(() => ones([2, 3]).mm(ones([4, 5]))).toThrow(TorchError);
  });

  it('is an error after dispose, and only then', () => {
    const t = ones([2]);
    t.dispose();
    t.dispose();
    expect(t.disposed).toBe(true);
    expect(() => t.add(1)).toThrow(DisposedError);
    expect(() => ones([2]).add(t)).toThrow(DisposedError);
  });
});

describe('scope', () => {
  it('frees what it made and returns what it should', () => {
    const before = memoryStats().tensors;
    const { a, list } = scope(() => {
      const x = ones([4]);
      x.add(1);
      return { a: x.mul(3), list: [x.mul(5)] };
    });
    expect(memoryStats().tensors).toBe(before + 2);
    expect(a.toNumbers()).toEqual([3, 3, 3, 3]);
    expect(list[0]?.toNumbers()).toEqual([5, 5, 5, 5]);
    a.dispose();
    list[0]?.dispose();
  });

  it('hands results of an inner scope to the outer one', () => {
    const before = memoryStats().tensors;
    scope(() => {
      const inner = scope(() => ones([2]).add(1));
      expect(inner.toNumbers()).toEqual([2, 2]);
    });
    expect(memoryStats().tensors).toBe(before);
  });

  it('frees everything when the body throws', () => {
    const before = memoryStats().tensors;
    expect(() =>
      scope(() => {
        ones([2]);
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(memoryStats().tensors).toBe(before);
  });

  it('leaves kept tensors alone', () => {
    const kept = scope(() => {
      const t = ones([2]).keep();
      return () => t;
    })();
    expect(kept.toNumbers()).toEqual([1, 1]);
    kept.dispose();
  });

  it('refuses an async body', () => {
    expect(() => scope(() => Promise.resolve(1))).toThrow(/async/);
  });
});

describe('gradients', () => {
  it('flow back to leaves and add up', () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    x.mul(x).sum().backward();
    expect(x.grad?.toNumbers()).toEqual([2, 4, 6]);
    x.sum().backward();
    expect(x.grad?.toNumbers()).toEqual([3, 5, 7]);
    x.grad = null;
    expect(x.grad).toBeNull();
  });

  it('are not recorded inside noGrad', () => {
    const x = tensor([1], { requiresGrad: true });
    const y = noGrad(() => x.mul(2));
    expect(y.requiresGrad).toBe(false);
    expect(() => {
      y.backward();
    }).toThrow(/does not require grad/);
  });

  it('come functionally, with second derivatives', () => {
    const x = tensor(3, { requiresGrad: true });
    const [first] = grad([x.pow(3)], [x], { createGraph: true });
    expect(first?.item()).toBe(27);
    const [second] = grad([first as NonNullable<typeof first>], [x]);
    expect(second?.item()).toBe(18);
    expect(x.grad).toBeNull();
  });

  it('are null for inputs that were not used', () => {
    const x = tensor(3, { requiresGrad: true });
    const unused = tensor(1, { requiresGrad: true });
    expect(grad([x.mul(2)], [x, unused]).map((g) => g?.item() ?? null)).toEqual([2, null]);
  });
});

describe('random numbers', () => {
  it('repeat from a seed and continue from a stored state', () => {
    manualSeed(7);
    const first = randn([3]).toNumbers();
    const state = getRngState();
    const second = randn([3]).toNumbers();
    manualSeed(7);
    expect(randn([3]).toNumbers()).toEqual(first);
    setRngState(state);
    expect(randn([3]).toNumbers()).toEqual(second);
  });
});

describe('cat', () => {
  it('joins along a dimension', () => {
    expect(cat([zeros([1, 2]), ones([1, 2])], 0).toArray()).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });
});
