/**
 * Seeded random numbers for data: xoshiro128** (Blackman and Vigna, "Scrambled Linear Pseudorandom
 * Number Generators", ACM TOMS 2021), which needs 32-bit arithmetic only and so is fast in JavaScript.
 *
 * Everything random about data is a pure function of a few integers (seed, stage, epoch, sample):
 * the generator is seeded again from them for every sample, so nothing depends on the order in
 * which samples are made and a resumed epoch continues bit for bit. The words of the state come
 * from a splitmix32 walk (Weyl sequence through MurmurHash3's finaliser) that absorbs each integer.
 */
import { checksOf } from '../checks.js';
import { dataError } from './errors.js';

const golden = 0x9e3779b9; // 2^32 divided by the golden ratio, the usual Weyl increment

/** MurmurHash3's 32-bit finaliser: every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Which random decision a stream of numbers belongs to: no two stages share a stream. */
export const Stage = {
  shuffle: 1,
  resizedCrop: 2,
  padCrop: 3,
  flip: 4,
  randAugment: 5,
  cutout: 6,
  mix: 7,
  split: 8,
  worker: 9,
  search: 10,
  erasing: 11,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** A reusable xoshiro128** generator. Seed it before use; one object serves any number of streams. */
export class Random {
  #a = 1;
  #b = 2;
  #c = 3;
  #d = 4;

  /** Sets the four state words directly (they must not all be zero). */
  setState(a: number, b: number, c: number, d: number): this {
    this.#a = a | 0;
    this.#b = b | 0;
    this.#c = c | 0;
    this.#d = d | 0;
    return this;
  }

  /**
   * Starts the stream of (seed, stage, x, y).
   * @param seed - integer in 0..2^53-1
   * @param x - non-negative integer below 2^32, the epoch in most stages
   * @param y - non-negative integer below 2^32, the sample or batch
   */
  seed(seed: number, stage: Stage, x = 0, y = 0): this {
    let h = mix32((seed % 0x100000000) ^ golden);
    h = mix32((h + golden) ^ Math.floor(seed / 0x100000000));
    h = mix32((h + golden) ^ stage);
    h = mix32((h + golden) ^ x);
    // The sample enters every word on its own, so that nearby samples share no state word.
    this.#a = mix32(h ^ y);
    this.#b = mix32((this.#a + golden) ^ h);
    this.#c = mix32((this.#b + golden) ^ y);
    this.#d = mix32((this.#c + golden) ^ h);
    if ((this.#a | this.#b | this.#c | this.#d) === 0) this.#d = 1; // all zero is the one dead state
    return this;
  }

  /** Next unsigned 32-bit integer. */
  uint32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1), 32 bits. */
  uniform(): number {
    return this.uint32() / 0x100000000;
  }

  /** Uniform integer in 0..n-1, without bias (Lemire's rejection done with a remainder). */
  below(n: number): number {
    const limit = 0x100000000 - (0x100000000 % n);
    let value = this.uint32();
    while (value >= limit) value = this.uint32();
    return value % n;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** Standard normal (Box-Muller, one of the pair). */
  normal(): number {
    const u = 1 - this.uniform(); // (0, 1]: the logarithm stays finite
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Gamma with the given shape > 0 and scale 1 (Marsaglia and Tsang 2000). */
  gamma(shape: number): number {
    // Shapes below one are drawn one higher and scaled back by u^(1/shape).
    if (shape < 1) return this.gamma(shape + 1) * Math.pow(1 - this.uniform(), 1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = Math.pow(1 + c * x, 3);
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d * (1 - v + Math.log(v))) {
        return d * v;
      }
    }
  }

  /** Beta(alpha, alpha), in [0, 1]; the mixing weight of mixup and cutmix. */
  symmetricBeta(alpha: number): number {
    const x = this.gamma(alpha);
    const y = this.gamma(alpha);
    // A tiny alpha can underflow both draws to zero; such a Beta is a fair coin.
    return x + y > 0 ? x / (x + y) : this.below(2);
  }

  /** Shuffles in place (Fisher-Yates, Durstenfeld's form). */
  shuffle(values: Uint32Array): Uint32Array {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = values[i] as number;
      values[i] = values[j] as number;
      values[j] = kept;
    }
    return values;
  }
}

/** The order of an epoch: 0..length-1 shuffled by (seed, epoch). */
export function epochPermutation(length: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  return new Random().seed(seed, Stage.shuffle, epoch).shuffle(order);
}

/** @throws DataError if the seed is no integer in 0..2^53-1 */
export function checkSeed(where: string, seed: number): void {
  const words = { expected: 'an integer from 0 to 2^53-1' };
  checksOf(where, dataError).integer('seed', seed, { min: 0 }, words);
}
