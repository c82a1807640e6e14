import { describe, expect, it } from 'vitest';
import {
  DerivedWeights,
  type Tensor,
  fromTypedArray,
  memoryStats,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  tensor,
} from './index.js';

/** Twice the sources' values, and how often they were computed. */
function doubled(sources: readonly Tensor[]) {
  const counted = { made: 0, derived: undefined as unknown as DerivedWeights };
  counted.derived = new DerivedWeights(sources, () => {
    counted.made++;
    return sources.map((source) => source.mul(2));
  });
  return counted;
}

const values = ({ derived }: { derived: DerivedWeights }): number[] =>
  derived.get().flatMap((t) => t.toNumbers());

describe('DerivedWeights', () => {
  it('are made once, and again after every way in which a source can change', () => {
    scope(() => {
      const layer = new nn.Linear(1, 1, { bias: false });
      const { weight } = layer;
      const counted = doubled([weight]);
      const expectMade = (times: number, value: number): void => {
        expect(values(counted)).toEqual([value]);
        expect(values(counted)).toEqual([value]);
        expect(counted.made).toBe(times);
      };
      noGrad(() => weight.fill_(1));
      expectMade(1, 2);
      noGrad(() => weight.add_(1)); // in place
      expectMade(2, 4);
      noGrad(() => weight.view(-1).select(0, 0).fill_(3)); // through a view
      expectMade(3, 6);
      layer.loadStateDict(new Map([['weight', tensor([[4]])]]));
      expectMade(4, 8);
      const optimizer = new optim.SGD([weight], { lr: 1 });
      layer.forward(tensor([[1]])).backward();
      optimizer.step(); // by 1, the gradient
      expectMade(5, 6);
      layer.to('float64'); // another tensor, whose count of changes begins anew
      expectMade(6, 6);
      expect(counted.derived.get()[0]?.dtype).toBe('float64');
    });
  });

  it('see the change of one source among many', () => {
    scope(() => {
      const sources = [tensor([1]), tensor([2]), tensor([3])];
      const counted = doubled(sources);
      expect(values(counted)).toEqual([2, 4, 6]);
      sources[1]?.fill_(0);
      expect(values(counted)).toEqual([2, 0, 6]);
    });
  });

  it('record no gradients, outlive the scope of their first use, and leave nothing behind', () => {
    const weight = randn([8], { requiresGrad: true }).keep();
    const { tensors } = memoryStats();
    const counted = doubled([weight]);
    const [kept] = scope(() => counted.derived.get());
    expect(kept?.requiresGrad).toBe(false);
    expect(kept?.disposed).toBe(false);
    expect(memoryStats().tensors).toBe(tensors + 1);
    noGrad(() => weight.zero_());
    counted.derived.get();
    expect(kept?.disposed).toBe(true);
    expect(memoryStats().tensors).toBe(tensors + 1);
    counted.derived.release();
    counted.derived.release();
    expect(memoryStats().tensors).toBe(tensors);
    expect(counted.derived.get()).toHaveLength(1);
    counted.derived.release();
    weight.dispose();
  });

  it('keep nothing when they cannot be made', () => {
    scope(() => {
      const source = fromTypedArray(Float32Array.of(1), [1]);
      let fails = true;
      const derived = new DerivedWeights([source], () => {
        if (fails) throw new Error('not yet');
        return [source.add(1)];
      });
      expect(() => derived.get()).toThrow('not yet');
      fails = false;
      expect(derived.get()[0]?.item()).toBe(2);
    });
  });
});
