/** Requests that end when nothing comes for too long: by itself fetch waits for five minutes. */
import { Attempt } from './attempt.js';

/** A connection that brings nothing for so long is broken, in ms. */
export const usualStallMs = 30_000;

export interface StallOptions {
  /** Default `usualStallMs`. */
  readonly stallMs?: number | undefined;
  /** Ends every request, beside the signal that a request has of its own. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A fetch for small answers, whose requests have a limit each: until the answer begins, and between the pieces of it.
 * @returns throws as fetch does where the network fails: a TypeError, with the reason as its cause; the reason of a signal
 */
export const withStallLimit =
  (call: typeof fetch, { stallMs = usualStallMs, signal }: StallOptions): typeof fetch =>
  async (input, init) => {
    const given = [signal, init?.signal].filter((one) => one instanceof AbortSignal);
    const outer = given.length === 0 ? undefined : AbortSignal.any(given);
    const attempt = new Attempt(stallMs, outer);
    const failed = (error: unknown): unknown => {
      attempt.end();
      if (outer?.aborted === true) return outer.reason;
      return attempt.isSilent
        ? new TypeError('fetch failed', { cause: attempt.signal.reason })
        : error;
    };
    try {
      const response = await attempt.until(call(input, { ...init, signal: attempt.signal }));
      return watched(response, attempt, failed);
    } catch (error) {
      throw failed(error);
    }
  };

/** The same answer, whose pieces the attempt sees. */
function watched(
  response: Response,
  attempt: Attempt,
  failed: (error: unknown) => unknown,
): Response {
  const { body, status, statusText, headers, url } = response;
  if (body === null) {
    attempt.end();
    return response;
  }
  const pieces = attempt.chunks(body as AsyncIterable<Uint8Array>);
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await pieces.next();
        if (done !== true) {
          controller.enqueue(value);
          return;
        }
        attempt.end();
        controller.close();
      } catch (error) {
        controller.error(failed(error));
      }
    },
    async cancel() {
      attempt.end();
      await pieces.return();
    },
  });
  const same = new Response(stream, { status, statusText, headers });
  // What a constructor makes has none; errors of the hub's client tell it.
  Object.defineProperty(same, 'url', { value: url });
  return same;
}
