/** Runs at most `limit` tasks at a time; the others wait in order. */
export class Limiter {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.running >= this.limit) {
      // The slot is handed over by whoever ends, so the count stays as it is.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
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
  private running = 0;
  private weight = 0;
  private readonly waiting: { readonly weight: number; readonly start: () => void }[] = [];

  constructor(private readonly most: number) {}

  async run<T>(weight: number, task: () => Promise<T>): Promise<T> {
    if (this.waiting.length === 0 && this.fits(weight)) this.add(weight);
    else await new Promise<void>((start) => this.waiting.push({ weight, start }));
    try {
      return await task();
    } finally {
      this.running--;
      this.weight -= weight;
      for (let next = this.waiting[0]; next && this.fits(next.weight); next = this.waiting[0]) {
        this.waiting.shift();
        // Counted here, so that nobody comes between.
        this.add(next.weight);
        next.start();
      }
    }
  }

  private fits(weight: number): boolean {
    return this.running === 0 || this.weight + weight <= this.most;
  }

  private add(weight: number): void {
    this.running++;
    this.weight += weight;
  }
}
