import { describe, expect, it } from 'vitest';
import { checkSeed, epochPermutation, mix32, Random, Stage } from './random.js';

const take = (random: Random, n: number) => Array.from({ length: n }, () => random.uint32());

describe('Random', () => {
  it('gives the published xoshiro128** sequence', () => {
    // The reference C code from state 1, 2, 3, 4; also the vector in the Rust crate rand_xoshiro.
    expect(take(new Random().setState(1, 2, 3, 4), 10)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597,
      4258142804,
    ]);
  });

  it("mixes seeds with MurmurHash3's finaliser", () => {
    // MurmurHash3_x86_32 of the empty string is the finaliser of its seed: published vectors.
    expect(mix32(0)).toBe(0);
    expect(mix32(1)).toBe(0x514e28b7);
    expect(mix32(0xffffffff)).toBe(0x81f16f39);
  });

  it('keeps its seeding: another sequence would change every recorded run', () => {
    expect(take(new Random().seed(42, Stage.shuffle, 3, 7), 3)).toMatchInlineSnapshot(`
      [
        3607575606,
        3504233091,
        1235678111,
      ]
    `);
    expect(take(new Random().seed(0, Stage.flip), 3)).toMatchInlineSnapshot(`
      [
        3798217658,
        3068423419,
        412327949,
      ]
    `);
  });

  it('gives other numbers for every part of the key, high seed bits included', () => {
    const firsts = [
      new Random().seed(1, Stage.flip, 0, 0),
      new Random().seed(2, Stage.flip, 0, 0),
      new Random().seed(1 + 2 ** 32, Stage.flip, 0, 0),
      new Random().seed(1, Stage.cutout, 0, 0),
      new Random().seed(1, Stage.flip, 1, 0),
      new Random().seed(1, Stage.flip, 0, 1),
    ].map((random) => random.uint32());
    expect(new Set(firsts).size).toBe(firsts.length);
  });

  it('flips fairly over the samples of an epoch', () => {
    const random = new Random();
    let heads = 0;
    for (let i = 0; i < 20_000; i++) heads += random.seed(5, Stage.flip, 2, i).below(2);
    // Standard deviation of the share is 0.0035; the seed is fixed, so this cannot flake.
    expect(heads / 20_000).toBeCloseTo(0.5, 2);
  });

  it('draws normal, gamma and beta numbers with the right moments', () => {
    const random = new Random().seed(9, Stage.mix);
    const n = 40_000;
    const moments = (draw: () => number) => {
      let sum = 0;
      let square = 0;
      for (let i = 0; i < n; i++) {
        const v = draw();
        sum += v;
        square += v * v;
      }
      return { mean: sum / n, variance: square / n - (sum / n) ** 2 };
    };
    // Standard errors at n = 40000 are below 0.01 for all of these; two digits are asked for.
    const normal = moments(() => random.normal());
    expect(normal.mean).toBeCloseTo(0, 1);
    expect(normal.variance).toBeCloseTo(1, 1);
    const gamma = moments(() => random.gamma(0.5));
    expect(gamma.mean).toBeCloseTo(0.5, 1);
    expect(gamma.variance).toBeCloseTo(0.5, 1);
    const beta = moments(() => random.symmetricBeta(0.8));
    expect(beta.mean).toBeCloseTo(0.5, 1);
    expect(beta.variance).toBeCloseTo(1 / (4 * 2.6), 2); // 1 / (4 (2 alpha + 1))
  });
});

describe('epochPermutation', () => {
  it('is a permutation, the same for the same key and another for another epoch', () => {
    const order = epochPermutation(1000, 7, 0);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(epochPermutation(1000, 7, 0)).toEqual(order);
    expect(epochPermutation(1000, 7, 1)).not.toEqual(order);
    expect(epochPermutation(1000, 8, 0)).not.toEqual(order);
  });

  it('puts every item everywhere about equally often', () => {
    const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
    for (let epoch = 0; epoch < 4000; epoch++) {
      epochPermutation(4, 1, epoch).forEach((item, place) => {
        const row = counts[place] as number[];
        row[item] = (row[item] as number) + 1;
      });
    }
    // Expected 1000 each, standard deviation 27; 4 of these for 16 cells.
    for (const count of counts.flat()) expect(Math.abs(count - 1000)).toBeLessThan(110);
  });
});

describe('checkSeed', () => {
  it('refuses what is no seed', () => {
    expect(() => {
      checkSeed('Here', -1);
    }).toThrow('Here: seed: got -1, expected an integer from 0 to 2^53-1.');
    expect(() => {
      checkSeed('Here', 0.5);
    }).toThrow('seed: got 0.5');
  });
});
