import { describe, expect, it } from 'vitest';
import {
  F,
  LentWeights,
  type ReversibleForm,
  type Tensor,
  full,
  memoryStats,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  tensor,
} from './index.js';
import { packWeights, unpackMatrix } from './kernels/index.js';

const panels: ReversibleForm = {
  make: (matrix) => packWeights(matrix.unsqueeze(0)),
  restore: (packed, [columns = 0]) => unpackMatrix(packed, columns),
};

/** Panels, and how often they were made. */
function lentTo(...sources: readonly Tensor[]) {
  const counted = { made: 0, lent: undefined as unknown as LentWeights };
  counted.lent = new LentWeights(sources, {
    ...panels,
    make(source) {
      counted.made++;
      return panels.make(source);
    },
  });
  return counted;
}

/** Its panels have exactly its size for any instruction set, whose panels are at most 32 wide. */
const linear = (): nn.Linear => new nn.Linear(24, 64, { bias: false });

const use = ({ lent }: { lent: LentWeights }): void => {
  for (const form of lent.get()) expect(form.disposed).toBe(false);
};

describe('LentWeights', () => {
  it('have the values in memory once, and each pack frees its source before the next', () => {
    scope(() => {
      const layers = Array.from({ length: 6 }, linear);
      const before = memoryStats();
      const most: number[] = [];
      const lent = new LentWeights(
        layers.map(({ weight }) => weight),
        {
          ...panels,
          make(source) {
            const form = panels.make(source);
            most.push(memoryStats().bytes);
            return form;
          },
        },
      );
      lent.get();
      expect(memoryStats()).toEqual(before);
      expect(most).toEqual(layers.map(() => before.bytes + 64 * 24 * 4));
      lent.release();
      expect(memoryStats()).toEqual(before);
    });
  });

  it('give the memory of large matrices back to the system', () => {
    scope(() => {
      const mib = 2 ** 20;
      const sources = Array.from({ length: 4 }, () => randn([4096, 2048])); // 32 MiB each
      const lent = new LentWeights(sources, panels);
      const before = process.memoryUsage.rss();
      lent.get();
      // One beside its form at a time; kept pages would be 128 MiB more.
      expect(process.memoryUsage.rss() - before).toBeLessThan(80 * mib);
      lent.release();
    });
  });

  it('have the values back bit for bit for whoever asks, with the same shape, type and need of gradients', () => {
    scope(() => {
      for (const shape of [
        [64, 24],
        [13, 7],
        [1, 1],
        [5, 300],
      ]) {
        const weight = randn(shape);
        weight.requiresGrad = true;
        scope(() => void noGrad(() => weight.select(0, 0).fill_(NaN)));
        const bits = () => new Uint32Array(weight.toTypedArray().buffer);
        const expected = bits();
        const counted = lentTo(weight);
        use(counted);
        expect(weight.isLent).toBe(true);
        expect([weight.shape, weight.dtype, weight.device]).toEqual([shape, 'float32', 'cpu']);
        expect([weight.requiresGrad, weight.disposed]).toEqual([true, false]);
        expect(weight.toString()).toBe(`Tensor(float32[${shape.join(', ')}] cpu)`);
        expect(weight.isLent).toBe(true); // none of these asked for values
        expect(bits()).toEqual(expected);
        expect([weight.isLent, weight.requiresGrad, weight.isLeaf]).toEqual([false, true, true]);
      }
    });
  });

  it('are not made again because somebody looked, but after every change of a source', () => {
    scope(() => {
      const layers = [linear(), linear(), linear()] as const;
      const [{ weight }, other] = layers;
      const counted = lentTo(...layers.map((layer) => layer.weight));
      const expectMade = (times: number): void => {
        use(counted);
        use(counted);
        expect(counted.made).toBe(times);
      };
      const value = () => counted.lent.get()[0]?.flatten().select(0, 0).item();
      expectMade(3);
      weight.toNumbers();
      expectMade(3);
      noGrad(() => weight.fill_(2)); // it was here still
      expectMade(4);
      expect(value()).toBe(2);
      noGrad(() => weight.add_(1)); // it was lent
      expectMade(5);
      expect(value()).toBe(3);
      other.loadStateDict(new Map([['weight', randn([64, 24])]]));
      expectMade(6);
      layers[2].to('float64').to('float32'); // another tensor
      expectMade(7);
      const optimizer = new optim.SGD([weight], { lr: 1 });
      F.linear(tensor([Array<number>(24).fill(1)]), weight)
        .sum()
        .backward();
      optimizer.step(); // by 1, the gradient
      expectMade(8);
      expect(value()).toBe(2);
    });
  });

  it('are in memory once again after somebody has looked, and are not made for each of many looks', () => {
    scope(() => {
      const { weight } = linear();
      const before = memoryStats();
      const restored = { times: 0 };
      const lent = new LentWeights([weight], {
        ...panels,
        restore(form, shape) {
          restored.times++;
          return panels.restore(form, shape);
        },
      });
      lent.get();
      weight.toNumbers();
      expect(weight.isLent).toBe(false);
      lent.get();
      expect(weight.isLent).toBe(true);
      expect(memoryStats()).toEqual(before);
      for (let i = 0; i < 640; i++) {
        weight.toNumbers();
        lent.get();
      }
      // After 2, 4, 8 ... uses, at most 64.
      expect(restored.times).toBeLessThan(20);
      for (let i = 0; i < 64; i++) lent.get();
      expect(weight.isLent).toBe(true);
      lent.release();
    });
  });

  it('leave a tensor where it is that somebody else has, who may change it', () => {
    scope(() => {
      const { weight } = linear();
      const view = weight.detach().view(-1);
      const counted = lentTo(weight);
      use(counted);
      expect(weight.isLent).toBe(false);
      view.fill_(5);
      expect(counted.lent.get()[0]?.flatten().select(0, 0).item()).toBe(5);
      expect(weight.isLent).toBe(false);
    });
    scope(() => {
      const { weight } = linear();
      const product = F.linear(randn([2, 24]), weight); // recorded: its backward pass reads the weight
      const counted = lentTo(weight);
      use(counted);
      expect(weight.isLent).toBe(false);
      product.sum().backward();
      expect(weight.grad?.shape).toEqual([64, 24]);
    });
    scope(() => {
      const { weight } = linear();
      F.linear(randn([2, 24]), weight)
        .sum()
        .backward();
      use(lentTo(weight));
      expect(weight.isLent).toBe(false); // nor one with a gradient
      expect(weight.grad).not.toBeNull();
    });
  });

  it('do not take a tensor from each other by turns', () => {
    scope(() => {
      const { weight } = linear();
      const [one, two] = [lentTo(weight, weight), lentTo(weight)];
      for (let i = 0; i < 3; i++) for (const each of [one, two]) use(each);
      expect([one.made, two.made]).toEqual([2, 1]);
      noGrad(() => weight.fill_(1));
      for (let i = 0; i < 3; i++) for (const each of [one, two]) use(each);
      for (const form of [...one.lent.get(), ...two.lent.get()])
        expect(form.flatten().select(0, 0).item()).toBe(1);
      // By each once, and by whoever finds it anew after it was lent.
      expect(one.made + two.made).toBeLessThanOrEqual(8);
      one.lent.release();
      use(two);
      expect(weight.flatten().select(0, 0).item()).toBe(1);
    });
  });

  it('have a form of their own after they were released, whoever the tensor is lent to then', () => {
    scope(() => {
      const { weight } = linear();
      const [one, two] = [lentTo(weight), lentTo(weight)];
      use(one);
      weight.adopt(full([64, 24], 3)); // as it moves to another device or type, without a look at its values
      one.lent.release();
      use(two);
      for (const { lent } of [one, two])
        expect(lent.get()[0]?.flatten().select(0, 0).item()).toBe(3);
    });
  });

  it('have every value and form where one of them could not be made or restored', () => {
    scope(() => {
      const sources = [randn([64, 24]), randn([64, 24]), randn([64, 24])];
      const values = () => sources.map((source) => source.toNumbers());
      const expected = values();
      let failing: 'make' | 'restore' | undefined = 'make';
      const lent = new LentWeights(sources, {
        make(source) {
          if (failing === 'make' && source === sources[1]) throw new Error('no memory');
          return panels.make(source);
        },
        restore(form, shape) {
          if (failing === 'restore') throw new Error('no memory');
          return panels.restore(form, shape);
        },
      });
      expect(() => lent.get()).toThrow('no memory');
      expect(sources.map(({ isLent }) => isLent)).toEqual([true, false, false]);
      failing = undefined;
      use({ lent });
      expect(sources.every(({ isLent }) => isLent)).toBe(true);
      failing = 'restore';
      expect(values).toThrow('no memory');
      expect(() => {
        lent.release();
      }).toThrow('no memory');
      failing = undefined;
      expect(values()).toEqual(expected);
      use({ lent });
    });
  });

  it('outlive the scope of their first use, and end with their source', () => {
    const before = memoryStats();
    const layer = linear();
    const counted = lentTo(layer.weight);
    scope(() => {
      use(counted);
    });
    use(counted);
    layer.dispose();
    expect(layer.weight.disposed).toBe(true);
    expect(() => layer.weight.toNumbers()).toThrow('used after it was freed');
    counted.lent.release();
    counted.lent.release();
    expect(memoryStats()).toEqual(before);
  });
});

describe('unpackMatrix', () => {
  it('refuses what is no matrix in panels', () => {
    scope(() => {
      const packed = packWeights(randn([1, 24, 8]));
      expect(() => unpackMatrix(packed.flatten(), 24)).toThrow('got 1 dimensions');
      expect(() => unpackMatrix(packed, 2400)).toThrow(
        'expected what pack_weights makes of [1, 2400, 8]',
      );
      expect(() => unpackMatrix(packWeights(randn([2, 24, 8])), 24)).toThrow(
        'expected what pack_weights makes',
      );
    });
  });
});
