// For tests: time that passes when they say so.
import type { Clock } from '../clock.js';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  readonly now = (): number => this.#now;

  readonly after = (ms: number, callback: () => void): (() => void) => {
    const timer = { due: this.#now + ms, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  };

  /** Timers that have neither gone off nor been cancelled. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Time passes, but no timer goes off: as if this process had not been given the processor. */
  lose(ms: number): void {
    this.#now += ms;
  }

  /** Time passes, and what is due goes off in its order. */
  advance(ms: number): void {
    this.lose(ms);
    const due = [...this.#timers].filter((timer) => timer.due <= this.#now);
    for (const timer of due.sort((a, b) => a.due - b.due)) {
      if (this.#timers.delete(timer)) timer.callback();
    }
  }
}
