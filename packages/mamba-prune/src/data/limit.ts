/** Runs at most `limit` tasks at a time; the others wait in order. */
export class Limiter {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      // The slot is handed over by whoever ends, so the count stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

/** Calls `task` for 0..count-1, at most `limit` at a time, without making `count` promises at once. */
export async function forEachLimited(
  count: number,
  limit: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, lane));
}

/** Runs tasks in order while their weights together stay below `most`; a heavier one runs alone. */
export class WeightLimiter {
  #running = 0;
  #weight = 0;
  readonly #waiting: { readonly weight: number; readonly start: () => void }[] = [];

  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(weight: number, task: () => Promise<T>): Promise<T> {
    if (this.#waiting.length === 0 && this.#fits(weight)) this.#add(weight);
    else await new Promise<void>((start) => this.#waiting.push({ weight, start }));
    try {
      return await task();
    } finally {
      this.#running--;
      this.#weight -= weight;
      for (let next = this.#waiting[0]; next && this.#fits(next.weight); next = this.#waiting[0]) {
        this.#waiting.shift();
        // Counted here, so that nobody comes between.
        this.#add(next.weight);
        next.start();
      }
    }
  }

  #fits(weight: number): boolean {
    return this.#running === 0 || this.#weight + weight <= this.#most;
  }

  #add(weight: number): void {
    this.#running++;
    this.#weight += weight;
  }
}
