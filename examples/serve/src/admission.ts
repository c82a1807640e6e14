// Who is let in, and for how long.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Clock, realClock } from './clock.js';
import { busy, clientGone, tooSlow } from './errors.js';

export interface AdmissionLimits {
  readonly maxConcurrent: number;
  readonly timeoutMs: number;
  /** The real one by default. */
  readonly clock?: Clock | undefined;
}

/** Counts the requests that are being worked on, from their header to the end of their answer. */
export class Admission {
  readonly #signals = new WeakMap<FastifyRequest, AbortSignal>();
  #inside = 0;

  constructor(private readonly limits: AdmissionLimits) {}

  get inside(): number {
    return this.#inside;
  }

  /**
   * Called before a body is read, so that what waits in memory is bounded by the number of requests.
   * @throws HttpError 503 if there are too many
   */
  enter(request: FastifyRequest, reply: FastifyReply): void {
    const { maxConcurrent, timeoutMs, clock = realClock } = this.limits;
    if (this.#inside >= maxConcurrent) {
      // Node.js reads the body and drops it; closing instead could cost the client this answer.
      void reply.header('retry-after', '1');
      throw busy();
    }
    this.#inside++;
    const gone = new AbortController();
    const inTime = clock.after(timeoutMs, () => {
      gone.abort(tooSlow(timeoutMs));
    });
    this.#signals.set(request, gone.signal);
    // Comes after the answer, and when the client hangs up before it.
    reply.raw.once('close', () => {
      this.#inside--;
      inTime();
      gone.abort(clientGone());
    });
  }

  /** Aborts when the time is over or the client has hung up. */
  signalOf(request: FastifyRequest): AbortSignal {
    const signal = this.#signals.get(request);
    if (!signal) throw new Error('signalOf: the request was not let in');
    return signal;
  }
}

/** The promise, or the signal's reason if that comes first. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
