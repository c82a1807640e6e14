import { Random, type Stage } from '../../random.js';

const word = 0xffffffffn;

/** Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), in BigInt. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const left = 0xd2511f53n * a;
    const right = 0xcd9e8d57n * c;
    [a, b, c, d] = [(right >> 32n) ^ b ^ k0, right & word, (left >> 32n) ^ d ^ k1, left & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [a, b, c, d].map(Number);
}

/** The loader's random numbers, but with the words that the kernel draws. */
export class PhiloxRandom extends Random {
  #key = [0, 0];
  #counter = [0, 0, 0, 0];
  #words: number[] = [];

  override seed(seed: number, stage: Stage, x = 0, y = 0): this {
    this.#key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
    this.#counter = [0, y, x, stage];
    this.#words = [];
    return this;
  }

  override uint32(): number {
    if (this.#words.length === 0) {
      this.#words = philox(this.#counter, this.#key);
      this.#counter[0] = (this.#counter[0] as number) + 1;
    }
    return this.#words.shift() as number;
  }
}
