// Time as what waits for it sees it.

/** So that tests can make their own time: what they see must not depend on how busy the machine is. */
export interface Clock {
  /** Milliseconds; never goes back. */
  readonly now: () => number;
  /** @returns what cancels it */
  readonly after: (ms: number, callback: () => void) => () => void;
}

export const realClock: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};
