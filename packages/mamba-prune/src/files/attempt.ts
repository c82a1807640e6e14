/**
 * One attempt to get something over a connection, which ends when the caller wants it to, or when it has been waited for too long
 * in vain. What the caller does in between counts for nothing.
 */
export class Attempt {
  /** For requests. */
  readonly signal: AbortSignal;

  readonly #silence = new AbortController();
  readonly #stallMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isSilent = false;

  /** @param outer - of the caller, for as long as there may be further attempts */
  constructor(stallMs: number, outer: AbortSignal | undefined) {
    this.#stallMs = stallMs;
    const own = this.#silence.signal;
    this.signal = outer ? AbortSignal.any([own, outer]) : own;
  }

  /**
   * What was asked for, but no later than the end: whoever was asked need not listen to the signal.
   * @throws the signal's reason
   */
  async until<T>(answer: Promise<T>): Promise<T> {
    const { signal } = this;
    this.#wait();
    let stop = (): void => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      stop = () => {
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
    try {
      return await Promise.race([answer, ended]);
    } finally {
      clearTimeout(this.#timer);
      // A listener for each piece of a large file would stay as long as the caller's signal.
      signal.removeEventListener('abort', stop);
    }
  }

  /** The pieces of a content, each of them waited for no longer than `until` does. */
  async *chunks<T>(content: AsyncIterable<T>): AsyncGenerator<T, void, void> {
    const pieces = content[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.until(pieces.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not waited for: a source that has gone silent would answer this no sooner.
      pieces.return?.().catch(() => undefined);
    }
  }

  /** Whether it ended because nothing came. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Gives back the connection, and whoever still waits for it. */
  end(): void {
    clearTimeout(this.#timer);
    this.#silence.abort(new Error('the attempt is over'));
  }

  #wait(): void {
    if (this.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#isSilent = true;
      this.#silence.abort(new Error(`nothing received for ${this.#stallMs} ms`));
    }, this.#stallMs);
  }
}
