/** Many tasks at a time, or one alone. */
export class Alone {
  #running = 0;
  #isAlone = false;
  readonly #shared: (() => void)[] = [];
  readonly #single: (() => void)[] = [];

  /** Beside others of its kind; waits for those that run, or want to run, alone. */
  async together<T>(task: () => Promise<T>): Promise<T> {
    if (this.#isAlone || this.#single.length > 0) {
      await new Promise<void>((resolve) => this.#shared.push(resolve));
    } else this.#running++;
    try {
      return await task();
    } finally {
      this.#running--;
      this.#next();
    }
  }

  /** After all that run, before all that wait. */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    if (this.#isAlone || this.#running > 0) {
      await new Promise<void>((resolve) => this.#single.push(resolve));
    } else this.#isAlone = true;
    try {
      return await task();
    } finally {
      this.#isAlone = false;
      this.#next();
    }
  }

  /** Whoever is let in finds itself counted. */
  #next(): void {
    if (this.#isAlone || this.#running > 0) return;
    const single = this.#single.shift();
    if (single) {
      this.#isAlone = true;
      single();
      return;
    }
    for (const resolve of this.#shared.splice(0)) {
      this.#running++;
      resolve();
    }
  }
}
